# libaio: the kernel's asynchronous I/O (io_submit).
find_path(LIBAIO_INCLUDE libaio.h REQUIRED)
add_library(libaio INTERFACE)
target_include_directories(libaio SYSTEM INTERFACE ${LIBAIO_INCLUDE})
package_library(libaio aio)
