# libslirp (>= 4.7): the header only. The library is loaded when a user mode network is made
# (devices/net/slirp_library.h): with the ones it brings along it would slow every other start down.
find_path(LIBSLIRP_INCLUDE slirp/libslirp.h REQUIRED)
add_library(libslirp_header INTERFACE)
target_include_directories(libslirp_header SYSTEM INTERFACE ${LIBSLIRP_INCLUDE})
target_link_libraries(libslirp_header INTERFACE ${CMAKE_DL_LIBS})
