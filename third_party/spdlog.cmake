# spdlog (>= 1.10), header only over our own fmt: used by vmm/base/log.cc alone.
find_path(SPDLOG_INCLUDE spdlog/spdlog.h REQUIRED)
add_library(spdlog_headers INTERFACE)
target_include_directories(spdlog_headers SYSTEM INTERFACE $<BUILD_INTERFACE:${SPDLOG_INCLUDE}>)
target_compile_definitions(spdlog_headers INTERFACE SPDLOG_FMT_EXTERNAL)
target_link_libraries(spdlog_headers INTERFACE vireo_fmt)
install(TARGETS spdlog_headers EXPORT vireo)
