// The options of qcow2 images with qemu-img's names: what they do to a new image, and to one that
// exists.
//
// Any thread. Errors: ConfigError that names the option.
#pragma once

#include "blockdev/format/image_keys.h"
#include "blockdev/format/qcow2/amender.h"
#include "blockdev/format/qcow2/create.h"

namespace vireo::blk {

// In QEMU's order.
ImageKeys qcow2_keys();

// Each takes those that it knows of what is given; the others are the caller's business.
Qcow2CreateOptions parse_qcow2_create(const KeyTexts& given);
Qcow2AmendOptions parse_qcow2_amend(const KeyTexts& given);

}  // namespace vireo::blk
