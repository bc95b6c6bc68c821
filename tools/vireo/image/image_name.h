// What the user's word for an image means: a file, or one of QEMU's other ways to say it.
//   PATH, file:PATH       a file
//   json:{…}              options as a JSON object: "driver", "file.filename", …
//   null-co://            a disk that drops what is written and reads as zeros; null-aio:// as well
//   blkdebug:CONF:NAME    NAME, whose file fails requests as the file CONF says
// and with --image-opts the options as text: "driver=raw,file.filename=disk.img,offset=1M".
//
// Pure but for blkdebug's CONF, which is read; any thread. Errors: ConfigError that names the
// option.
#pragma once

#include <map>
#include <string>

#include "blockdev/open.h"

namespace vireo::cli {

using ImageOptions = std::map<std::string, std::string>;

// "driver=qcow2,read-only": a key without a value is "on"; a comma in a value is written twice; of
// a key that comes again the last value counts.
ImageOptions parse_image_options(const std::string& text);

// The other way round, with all values.
std::string image_options_text(const ImageOptions& options);

// `options` are on top of those that a json: name has. The format is empty when nothing tells it.
blk::Spec parse_image_name(const std::string& name, const ImageOptions& options);

// It lies nowhere: null-co.
bool is_null(const blk::Spec& spec) noexcept;

}  // namespace vireo::cli
