# libpng (>= 1.6): what `vireo screenshot` writes. Its headers only: it is loaded when it is needed.
find_path(LIBPNG_INCLUDE png.h REQUIRED)
add_library(libpng INTERFACE)
target_include_directories(libpng SYSTEM INTERFACE ${LIBPNG_INCLUDE})
target_link_libraries(libpng INTERFACE ${CMAKE_DL_LIBS})
