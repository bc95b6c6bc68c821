// virtio-scsi on the wire (virtio 1.2, 5.6). Plain values; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmm/base/bytes.h"

namespace vireo::dev {

inline constexpr uint64_t kScsiFeatureChange = 1 << 2;

inline constexpr uint16_t kScsiControlQueue = 0;
inline constexpr uint16_t kScsiEventQueue = 1;
inline constexpr uint16_t kScsiRequestQueue = 2;

struct ScsiConfigSpace {
  le32 num_queues;
  le32 seg_max;
  le32 max_sectors;
  le32 cmd_per_lun;
  le32 event_info_size;
  le32 sense_size;  // the driver may write these two
  le32 cdb_size;
  le16 max_channel;
  le16 max_target;
  le32 max_lun;
};
static_assert(sizeof(ScsiConfigSpace) == 36);
static_assert(offsetof(ScsiConfigSpace, sense_size) == 20);
inline constexpr uint32_t kScsiSenseSize = 96;  // after a reset
inline constexpr uint32_t kScsiCdbSize = 32;

// 5.6.6.1: 1, the target, a unit of it in the single level format of SAM, and zeros.
using ScsiLun = std::array<uint8_t, 8>;

// A request: this, a CDB of cdb_size bytes, and the data-out buffer; then, writable, the response,
// sense_size bytes of sense data, and the data-in buffer.
struct ScsiRequestHeader {
  ScsiLun lun{};
  le64 id;
  uint8_t task_attribute = 0;
  uint8_t priority = 0;
  uint8_t crn = 0;
};
static_assert(sizeof(ScsiRequestHeader) == 19);

struct ScsiResponse {
  le32 sense_length;
  le32 residual;
  le16 status_qualifier;
  uint8_t status = 0;
  uint8_t response = 0;
};
static_assert(sizeof(ScsiResponse) == 12);

enum class ScsiResult : uint8_t {
  ok = 0,  // of a task management function: it is complete
  overrun = 1,
  aborted = 2,
  bad_target = 3,
  reset = 4,
  failure = 9,
  function_succeeded = 10,
  function_rejected = 11,
  incorrect_lun = 12,
};

// The control queue (5.6.6.2): each request begins with its type, 32 bits.
enum class ScsiControl : uint32_t { task_management = 0, query_events = 1, subscribe = 2 };

// After the type; one byte answers it, a ScsiResult.
struct ScsiTaskManagement {
  le32 function;
  ScsiLun lun{};
  le64 id;
};
static_assert(sizeof(ScsiTaskManagement) == 20);

enum class ScsiFunction : uint32_t {
  abort_task = 0,
  abort_task_set = 1,
  clear_task_set = 3,
  nexus_reset = 4,
  unit_reset = 5,
  query_task = 6,
  query_task_set = 7,
};

// After the type: which asynchronous events are asked about.
struct ScsiEventRequest {
  ScsiLun lun{};
  le32 events;
};
static_assert(sizeof(ScsiEventRequest) == 12);
struct ScsiEventResponse {
  le32 events;
  uint8_t response = 0;
};
static_assert(sizeof(ScsiEventResponse) == 5);

// The event queue (5.6.6.3).
struct ScsiEvent {
  le32 type;
  ScsiLun lun{};
  le32 reason;
};
static_assert(sizeof(ScsiEvent) == 16);
inline constexpr uint32_t kScsiEventParameterChange = 3;
inline constexpr uint32_t kScsiEventsMissed = 0x80000000;  // added to the type; 0 is no event

}  // namespace vireo::dev
