# The formats that a bzImage's payload comes in, and clusters of a qcow2 image.
foreach(name z lzma zstd lz4 bz2)
  add_library(compression_${name} INTERFACE)
  package_library(compression_${name} ${name})
endforeach()
