# Catch2 2.13 (header only): its main is compiled once.
find_path(CATCH2_INCLUDE catch2/catch.hpp REQUIRED)
add_library(catch_main OBJECT EXCLUDE_FROM_ALL catch_main.cc tsan_suppressions.cc)
set_source_files_properties(catch_main.cc PROPERTIES SKIP_PRECOMPILE_HEADERS ON)  # its configuration comes first
target_include_directories(catch_main SYSTEM PUBLIC ${CATCH2_INCLUDE})
target_precompile_headers(catch_main PRIVATE ${standard_headers} <catch2/catch.hpp>)
