// Standard input, output and error of the process.
#pragma once

namespace vireo::cli {

// Opens those that are closed on /dev/null, so that no other file gets their numbers. Comes before
// anything else opens a file. Throws std::system_error.
void open_missing_standard_streams();

// Writes what is buffered for standard output. Throws std::system_error when that fails, or any
// earlier output has.
void flush_standard_output();

}  // namespace vireo::cli
