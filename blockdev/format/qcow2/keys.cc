#include "blockdev/format/qcow2/keys.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::blk {

namespace {

using Create = Qcow2CreateOptions;
using Amend = Qcow2AmendOptions;
using Kind = ImageKey::Kind;

struct Row {
  ImageKey key;
  void (*create)(Create&, const KeyText&);
  void (*amend)(Amend&, const KeyText&) = nullptr;
};

constexpr std::array kCompressions{Word<qcow2::Compression>{"zlib", qcow2::Compression::zlib},
                                   Word<qcow2::Compression>{"zstd", qcow2::Compression::zstd}};
constexpr std::array kVersions{Word<uint32_t>{"0.10", 2}, Word<uint32_t>{"v2", 2},
                               Word<uint32_t>{"1.1", 3}, Word<uint32_t>{"v3", 3}};

void refuse_encryption(Create&, const KeyText& text) {
  if (text.flag())
    throw ConfigError("encryption=on: encrypted images are not supported; leave it out");
}

// What is too large is as wrong as what is no power of two.
uint32_t any_width(const KeyText& text) {
  return static_cast<uint32_t>(std::min<uint64_t>(text.size(), ~uint32_t{0}));
}

uint64_t whole_sectors(uint64_t size) {
  return (size + 511) / 512 * 512;
}

constexpr std::array kRows{
    Row{{.name = "encryption",
         .values = "off",
         .help = "encrypted images cannot be made",
         .kind = Kind::flag},
        refuse_encryption},
    Row{{.name = "cluster_size",
         .values = "SIZE",
         .help = "512 to 2M, a power of two",
         .kind = Kind::size,
         .fallback = "64k",
         .planned = true},
        [](Create& image, const KeyText& text) { image.cluster_size = text.size(); }},
    Row{{.name = "extended_l2",
         .values = "on|off",
         .help = "allocate in 32nds of a cluster",
         .kind = Kind::flag,
         .fallback = "off",
         .planned = true},
        [](Create& image, const KeyText& text) { image.extended_l2 = text.flag(); }},
    Row{{.name = "preallocation",
         .values = "off|metadata|falloc|full",
         .help = "metadata: the mapping; falloc: and the space; full: and zeros in it"},
        [](Create& image, const KeyText& text) { image.preallocation = text.preallocation(); }},
    Row{{.name = "compression_type",
         .values = "zlib|zstd",
         .help = "how compressed clusters are packed",
         .fallback = "zlib",
         .planned = true},
        [](Create& image, const KeyText& text) { image.compression = text.word(kCompressions); }},
    Row{{.name = "size",
         .values = "SIZE",
         .help = "size of the disk",
         .kind = Kind::size,
         .change = "size of the disk"},
        [](Create& image, const KeyText& text) { image.size = text.size(); },
        [](Amend& image, const KeyText& text) { image.size = whole_sectors(text.size()); }},
    Row{{.name = "compat",
         .values = "0.10|1.1",
         .help = "version 2 or 3 of the format",
         .fallback = "1.1",
         .change = "version 2 or 3 of the format"},
        [](Create& image, const KeyText& text) { image.version = text.word(kVersions); },
        [](Amend& image, const KeyText& text) { image.version = text.word(kVersions); }},
    Row{{.name = "backing_file",
         .values = "FILE",
         .help = "the image that this one lies over",
         .change = "the image that this one lies over; only the name, as 'rebase -u' does"},
        [](Create& image, const KeyText& text) { image.backing_file = text.text; },
        [](Amend& image, const KeyText& text) { image.backing_file = text.text; }},
    Row{{.name = "backing_fmt", .values = "FMT", .help = "its format", .change = "its format"},
        [](Create& image, const KeyText& text) { image.backing_format = text.text; },
        [](Amend& image, const KeyText& text) { image.backing_format = text.text; }},
    Row{{.name = "data_file",
         .values = "FILE",
         .help = "keep the data in this raw file, relative to the image",
         .change = "the name of the raw file that has the data"},
        [](Create& image, const KeyText& text) { image.data_file = text.text; },
        [](Amend& image, const KeyText& text) { image.data_file = text.text; }},
    Row{{.name = "data_file_raw",
         .values = "on|off",
         .help = "the data file stays valid by itself",
         .kind = Kind::flag,
         .change = "off: the data file need not be valid by itself any longer"},
        [](Create& image, const KeyText& text) { image.data_file_raw = text.flag(); },
        [](Amend& image, const KeyText& text) { image.data_file_raw = text.flag(); }},
    Row{{.name = "lazy_refcounts",
         .values = "on|off",
         .help = "write reference counts late; an unclean end costs a check",
         .kind = Kind::flag,
         .fallback = "off",
         .planned = true,
         .change = "write reference counts late; an unclean end costs a check"},
        [](Create& image, const KeyText& text) { image.lazy_refcounts = text.flag(); },
        [](Amend& image, const KeyText& text) { image.lazy_refcounts = text.flag(); }},
    Row{{.name = "refcount_bits",
         .values = "N",
         .help = "width of a reference count: 1 to 64, a power of two",
         .fallback = "16",
         .planned = true,
         .change = "width of a reference count: 1 to 64, a power of two"},
        [](Create& image, const KeyText& text) { image.refcount_bits = any_width(text); },
        [](Amend& image, const KeyText& text) {
          image.refcount_bits =
              static_cast<uint32_t>(parse_number("refcount_bits", text.text, 1, 64));
        }},
    Row{kNoCopyOnWriteKey,
        [](Create& image, const KeyText& text) { image.hints.no_copy_on_write = text.flag(); }},
    Row{kExtentSizeKey,
        [](Create& image, const KeyText& text) { image.hints.extent_size = text.size(); }},
};

}  // namespace

ImageKeys qcow2_keys() {
  return keys_of(kRows);
}

Qcow2CreateOptions parse_qcow2_create(const KeyTexts& given) {
  return options_of(kRows, given, &Row::create);
}

Qcow2AmendOptions parse_qcow2_amend(const KeyTexts& given) {
  return options_of(kRows, given, &Row::amend);
}

}  // namespace vireo::blk
