# libaio: the kernel's asynchronous I/O (io_submit). Static: one library less to load at start.
find_path(LIBAIO_INCLUDE libaio.h REQUIRED)
find_library(LIBAIO_LIBRARY NAMES libaio.a aio REQUIRED)
add_library(libaio INTERFACE)
target_include_directories(libaio SYSTEM INTERFACE $<BUILD_INTERFACE:${LIBAIO_INCLUDE}>)
target_link_libraries(libaio INTERFACE ${LIBAIO_LIBRARY})
install(TARGETS libaio EXPORT vireo)
