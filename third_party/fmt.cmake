# fmt (>= 9): std::format's predecessor, which g++ 12 lacks. Debian ships only the shared library, so
# the few functions behind <fmt/core.h> are compiled here, once.
find_path(FMT_INCLUDE fmt/format-inl.h REQUIRED)
add_library(vireo_fmt STATIC fmt.cc)
target_include_directories(vireo_fmt SYSTEM PUBLIC ${FMT_INCLUDE})
target_precompile_headers(vireo_fmt PRIVATE ${standard_headers})
