# The formats a bzImage payload (and later a qcow2 cluster) comes in; static, see libaio.cmake.
foreach(name z lzma zstd lz4 bz2)
  find_library(COMPRESSION_${name} NAMES lib${name}.a REQUIRED)
  add_library(compression_${name} INTERFACE)
  target_link_libraries(compression_${name} INTERFACE ${COMPRESSION_${name}})
  install(TARGETS compression_${name} EXPORT vireo)
endforeach()
