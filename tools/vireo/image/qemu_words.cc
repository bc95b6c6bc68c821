#include "tools/vireo/image/qemu_words.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

struct Words {
  std::string_view ours;  // a part of our sentence
  std::string_view qemus;
};

// Of files: QEMU names the file and says the host's error.
constexpr std::array kFileErrors{
    Words{"does not exist", "No such file or directory"},
    Words{"is a directory", "Is a directory"},
    Words{"no permission to", "Permission denied"},
    Words{"a read-only file system", "Read-only file system"},
    Words{"a program being executed", "Text file busy"},
    Words{"is in use by this host", "Device or resource busy"},
    Words{"file system without O_DIRECT", "Invalid argument"},
};

// Of what lies in the image: the qcow2 driver's sentences.
constexpr std::array kImageErrors{
    Words{"its header claims to be", "qcow2 header exceeds cluster size"},
    Words{"is longer than the header's cluster", "Header extension too large"},
    Words{"its backing file name does not lie", "Invalid backing file offset"},
    Words{"its backing file name is longer", "Backing file name too long"},
    Words{"its refcount table of", "Reference count table too large"},
    Words{"its refcount table starts", "Reference count table offset invalid"},
    Words{"its refcount table ends", "Reference count table offset invalid"},
    Words{"more than any L1 table can map", "Image is too big"},
    Words{"bytes is absurd", "Image is too big"},
    Words{"entries is too short for", "L1 table is too small"},
    Words{"its L1 table of", "Active L1 table too large"},
    Words{"its L1 table starts", "Active L1 table offset invalid"},
    Words{"its L1 table ends", "Active L1 table offset invalid"},
    Words{"snapshots", "Snapshot table too large"},
    Words{"its snapshot table starts", "Snapshot table offset invalid"},
    Words{"its snapshot table ends", "Snapshot table offset invalid"},
    Words{"it is marked as damaged", "Image is corrupt; cannot be opened read/write"},
    Words{"keeps its data in another file and does not name it",
          "'data-file' is required for this image"},
};

// Of new images.
constexpr std::array kCreateErrors{
    Words{"the cluster size must be", "Cluster size must be a power of two between 512 and 2048k"},
    Words{"refcount_bits must be",
          "Refcount width must be a power of two and may not exceed 64 bits"},
    Words{"other refcount_bits than 16",
          "Different refcount widths than 16 bits require compatibility level 1.1 or above (use "
          "version=v3 or greater)"},
    Words{"lazy_refcounts needs",
          "Lazy refcounts only supported with compatibility level 1.1 and above (use version=v3 or "
          "greater)"},
    Words{"extended_l2 needs compat",
          "Extended L2 entries are only supported with compatibility level 1.1 and above (use "
          "version=v3 or greater)"},
    Words{"extended_l2 needs clusters",
          "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes"},
    Words{"compression_type=zstd needs",
          "Non-zlib compression type is only supported with compatibility level 1.1 and above (use "
          "version=v3 or greater)"},
    Words{"data_file needs compat",
          "External data files are only supported with compatibility level 1.1 and above (use "
          "version=v3 or greater)"},
    Words{"data_file_raw needs", "data-file-raw requires data-file"},
    Words{"data_file_raw and a backing file",
          "Backing file and data-file-raw cannot be used at the same time"},
    Words{"preallocation and a backing file",
          "Backing file and preallocation can only be used at the same time if extended_l2 is "
          "enabled"},
    Words{"cannot map",
          "The image size is too large for file format 'qcow2' (try using a larger "
          "cluster size)"},
    Words{"the size is absurd",
          "The image size is too large for file format 'qcow2' (try using a "
          "larger cluster size)"},
    Words{"a raw image has no metadata", "Unsupported preallocation mode: metadata"},
};

// The first text in quotes, which in our sentences is the file's name.
std::string first_name(const std::string& text) {
  const size_t begin = text.find('\'');
  const size_t end = begin == std::string::npos ? begin : text.find('\'', begin + 1);
  return end == std::string::npos ? "" : text.substr(begin + 1, end - begin - 1);
}

// "'dirty bit' (bit 0), bit 7": first those that have a name, then the others as a number.
std::string qemu_features(std::string_view list) {
  std::string names;
  unsigned long long unnamed = 0;
  const auto bit = [](std::string_view text) {
    return std::strtoull(std::string(text.substr(text.find("bit ") + 4)).c_str(), nullptr, 10);
  };
  while (!list.empty()) {
    const size_t end = list.starts_with("'") ? list.find(')') : list.find(',');
    const std::string_view feature = list.substr(0, end);
    if (!feature.starts_with("'"))
      unnamed |= 1ULL << (bit(feature) & 63);
    else
      names += fmt::format("{}{}", names.empty() ? "" : ", ",
                           feature.substr(1, feature.rfind("' (bit") - 1));
    const size_t next = list.find(", ", end);
    list = next == std::string_view::npos ? "" : list.substr(next + 2);
  }
  if (unnamed == 0) return names;
  return fmt::format("{}{}Unknown incompatible feature: {:x}", names, names.empty() ? "" : ", ",
                     unnamed);
}

}  // namespace

std::string qemu_words(const std::string& text) {
  constexpr std::string_view kBacking = "the backing file of '";
  if (const size_t at = text.find(kBacking); at != std::string::npos) {
    const size_t colon = text.find("': ", at + kBacking.size());
    if (colon != std::string::npos)
      return "Could not open backing file: " + qemu_words(text.substr(colon + 3));
  }
  if (const size_t at = text.find("its backing file '"); at != std::string::npos) {
    const size_t format = text.find("has the format '", at);
    if (format != std::string::npos)
      return fmt::format("Could not open backing file: Unknown driver '{}'",
                         first_name(text.substr(format)));
  }
  constexpr std::string_view kFeatures = "it needs features that are not supported: ";
  if (const size_t at = text.find(kFeatures); at != std::string::npos)
    return "Unsupported qcow2 feature(s): " +
           qemu_features(std::string_view(text).substr(at + kFeatures.size()));
  for (const Words& words : kFileErrors)
    if (text.find(words.ours) != std::string::npos)
      return fmt::format("Could not open '{}': {}", first_name(text), words.qemus);
  if (const size_t at = text.find("has the format '"); at != std::string::npos)
    return fmt::format("Unknown driver '{}'", first_name(text.substr(at)));
  if (text.find("in use by another process") != std::string::npos)
    return fmt::format("Failed to get \"write\" lock\nIs another process using the image [{}]?",
                       first_name(text));
  for (const Words& words : kImageErrors)
    if (text.find(words.ours) != std::string::npos) return std::string(words.qemus);
  return text;
}

std::string qemu_create_reason(const std::exception& error) {
  const std::string text = describe(error);
  for (const Words& words : kCreateErrors)
    if (text.find(words.ours) != std::string::npos) return std::string(words.qemus);
  if (text.starts_with("the backing file of '"))
    return text.substr(text.find("': ", text.find("': ") + 3) + 3) +
           "\nCould not open backing image.";
  if (text.find("' is not a size") != std::string::npos)
    return "Parameter 'size' expects a non-negative number below 2^64\n"
           "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
           "and exabytes, respectively.";
  if (text.starts_with("-o: preallocation: '"))
    return fmt::format("Parameter 'preallocation' does not accept value '{}'", first_name(text));
  // "-o: compat=0.42: it is 0.10 or 1.1"
  if (text.starts_with("-o: ") && text.find('=') < text.find(": ", 4)) {
    const size_t equals = text.find('='), end = text.find(": ", 4);
    const std::string key = text.substr(4, equals - 4);
    return fmt::format("Parameter '{}' does not accept value '{}'",
                       key == "compat" ? "version" : key,
                       text.substr(equals + 1, end - equals - 1));
  }
  return text;
}

std::string qemu_reason(const std::exception& error) {
  const auto* const system = dynamic_cast<const std::system_error*>(&error);
  if (system == nullptr) return qemu_words(describe(error));
  return fmt::format("Could not open '{}': {}", first_name(error.what()), system->code().message());
}

namespace {

// "image 'a' is damaged: WHY; it takes no more writes"
std::string qemu_corruption(const std::string& text) {
  constexpr std::string_view kDamaged = "' is damaged: ", kEnd = "; it takes no more writes";
  const size_t at = text.find(kDamaged);
  std::string why = text.substr(at + kDamaged.size());
  if (why.ends_with(kEnd)) why.resize(why.size() - kEnd.size());
  unsigned long long block = 0, index = 0;
  if (std::sscanf(why.c_str(), "a refcount block lies at %llx (entry %llu", &block, &index) == 2)
    why = fmt::format("Refblock offset {:#x} unaligned (reftable index: {:#x})", block, index);
  return fmt::format(
      "qcow2: Marking image as corrupt: {}; further corruption events will be "
      "suppressed",
      why);
}

// "cluster 5 is counted 2 times and used 1 times"
struct Counted {
  unsigned long long cluster = 0, stored = 0, found = 0;
  std::string words(const char* verb) const {
    return fmt::format("{} cluster {} refcount={} reference={}", verb, cluster, stored, found);
  }
};

std::optional<Counted> counted(const std::string& what) {
  Counted is;
  const int fields = std::sscanf(what.c_str(), "cluster %llu is counted %llu times and used %llu",
                                 &is.cluster, &is.stored, &is.found);
  return fields == 3 ? std::optional(is) : std::nullopt;
}

std::string qemu_flag(const std::string& what, const char* verb) {
  unsigned long long index = 0, entry = 0, count = 0;
  if (std::sscanf(what.c_str(),
                  "the COPIED flag of L1 entry %llu, %llx, is wrong for a count of %llu", &index,
                  &entry, &count) == 3)
    return fmt::format("{} OFLAG_COPIED L2 cluster: l1_index={} l1_entry={:x} refcount={}", verb,
                       index, entry, count);
  if (std::sscanf(what.c_str(),
                  "the COPIED flag of an L2 entry, %llx, is wrong for a count of %llu", &entry,
                  &count) == 2)
    return fmt::format("{} OFLAG_COPIED data cluster: l2_entry={:x} refcount={}", verb, entry,
                       count);
  return "";
}

std::string qemu_finding(const std::string& what, bool repairs) {
  const char* const verb = repairs ? "Repairing" : "ERROR";
  if (std::string flag = qemu_flag(what, verb); !flag.empty()) return flag;
  unsigned long long length = 0, offset = 0;
  const size_t beyond = what.find("beyond the end of the file: to ");
  if (beyond != std::string::npos &&
      std::sscanf(what.c_str() + beyond, "beyond the end of the file: to %llx bytes at %llx",
                  &length, &offset) == 2)
    return fmt::format(
        "ERROR: counting reference for region exceeding the end of the file by one "
        "cluster or more: offset {:#x} size {:#x}",
        offset, length);
  return fmt::format("{} {}", verb, what);
}

}  // namespace

void QemuFindings::flush() {
  for (const std::string& line : std::exchange(repairs_, {})) print_(line);
}

void QemuFindings::add(const std::string& text) {
  const bool repairs = text.starts_with("repairing ");
  const size_t colon = text.find(": ");
  if ((!repairs && !text.starts_with("found in ")) || colon == std::string::npos) {
    const bool damaged = text.starts_with("image '") && text.find("' is damaged: ") != text.npos;
    flush();
    return print_(damaged ? qemu_corruption(text) : text);
  }
  const std::string what = text.substr(colon + 2);
  if (const std::optional<Counted> cluster = counted(what)) {
    print_(cluster->words(cluster->stored > cluster->found ? "Leaked" : "ERROR"));
    if (repairs) repairs_.push_back(cluster->words("Repairing"));
    return;
  }
  flush();
  print_(qemu_finding(what, repairs));
}

}  // namespace vireo::cli
