# libpng (>= 1.6): what `vireo screenshot` writes. Static, with the zlib of compression.cmake.
find_path(LIBPNG_INCLUDE png.h REQUIRED)
find_library(LIBPNG NAMES libpng16.a REQUIRED)
add_library(libpng INTERFACE)
target_include_directories(libpng SYSTEM INTERFACE $<BUILD_INTERFACE:${LIBPNG_INCLUDE}>)
target_link_libraries(libpng INTERFACE ${LIBPNG} compression_z m)
