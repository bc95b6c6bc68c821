// Arbitrary bytes as a first cluster and as a snapshot table: refused with a ConfigError or parsed,
// and what was parsed survives being written.
#include <cstdlib>

#include "blockdev/format/qcow2/header.h"
#include "blockdev/format/qcow2/snapshots.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk::qcow2;

namespace {

void try_header(std::span<const std::byte> bytes) {
  Header header;
  try {
    header = parse_header(bytes, uint64_t{1} << 40, "fuzz");
  } catch (const ConfigError&) {
    return;
  }
  header.place_backing_file();
  if (!fits_first_cluster(header)) return;
  std::vector<std::byte> again = serialise_header(header, "fuzz");
  again.resize(header.geometry().cluster_size());
  const Header read = parse_header(again, uint64_t{1} << 40, "fuzz");
  VMM_CHECK(read == header, "a header survives being written and read");
}

void try_snapshots(std::span<const std::byte> bytes) {
  std::optional<ParsedSnapshots> parsed = parse_snapshots(bytes, 3);
  if (!parsed) return;
  for (SnapshotInfo& info : parsed->list) info.complete = true;  // as all that is written
  VMM_CHECK(parsed->length <= bytes.size(), "a table ends inside its bytes");
  const std::vector<std::byte> again = serialise_snapshots(parsed->list);
  const std::optional<ParsedSnapshots> read = parse_snapshots(again, 3);
  VMM_CHECK(read && read->list == parsed->list, "snapshots survive being written and read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  try_header(bytes);
  try_snapshots(bytes);
  return 0;
}
