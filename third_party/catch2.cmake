# Catch2 2.13 (header only): its main is compiled once.
find_path(CATCH2_INCLUDE catch2/catch.hpp REQUIRED)
add_library(catch_main STATIC EXCLUDE_FROM_ALL catch_main.cc)
target_include_directories(catch_main SYSTEM PUBLIC ${CATCH2_INCLUDE})
