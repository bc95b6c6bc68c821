// Claims in files: .virtfs_metadata/NAME in the directory of NAME, lines "virtfs.uid=0", "…gid",
// "…mode", "…rdev", decimal, as QEMU keeps them; the root of a share has .virtfs_metadata_root.
// Any thread; blocks. What lies there may be anybody's: it is read as regular files of bounded
// length only, and links are not followed.
#pragma once

#include "devices/p9/ownership.h"

namespace vireo::p9::claims_file {

inline constexpr std::string_view kDirectory = ".virtfs_metadata";
inline constexpr std::string_view kRootFile = ".virtfs_metadata_root";
// How names begin that metadata have while they are written, beside those of the files.
inline constexpr std::string_view kNew = ".virtfs_new_";

// Pure: unknown lines and what is no number are skipped.
Claims parse(std::string_view text);
std::string format(const Claims& claims);

Result<Claims> read(const Item& item);
Outcome write(const Item& item, const Claims& claims);  // what is not claimed anew stays
void forget(int directory, const std::string& name);
void rename(int from, const std::string& from_name, int to, const std::string& to_name);
void link(int from, const std::string& from_name, int to, const std::string& to_name);

}  // namespace vireo::p9::claims_file
