#include "devices/scsi/mode_pages.h"

#include <span>

#include "vmm/base/bytes.h"

namespace vireo::scsi {

namespace {

constexpr uint8_t kAllPages = 0x3f;

struct Page {
  uint8_t code;
  std::vector<uint8_t> body;  // what follows its length
};

// SBC-3, 6.4.5: what was written is stable only after SYNCHRONIZE CACHE.
Page caching() {
  constexpr uint8_t kWriteCache = 4;
  Page page{0x08, std::vector<uint8_t>(18)};
  page.body[0] = kWriteCache;
  return page;
}

// SPC-4, 7.5.8: commands may be reordered.
Page control() {
  constexpr uint8_t kUnrestrictedReordering = 0x10;
  Page page{0x0a, std::vector<uint8_t>(10)};
  page.body[1] = kUnrestrictedReordering;
  return page;
}

// MMC-6, 7.2.3 and SFF-8090: a drive with a tray that reads all CDs and DVDs.
Page capabilities(bool locked) {
  constexpr uint8_t kReadsCdR = 1, kReadsCdRw = 2, kReadsDvd = 8;
  constexpr uint8_t kCanLock = 1, kIsLocked = 2, kCanEject = 8, kTray = 1 << 5;
  constexpr uint16_t kSpeed = 48 * 176;  // kB/s
  Page page{0x2a, std::vector<uint8_t>(20)};
  page.body[0] = kReadsCdR | kReadsCdRw | kReadsDvd;
  page.body[4] = static_cast<uint8_t>(kCanLock | (locked ? kIsLocked : 0) | kCanEject | kTray);
  for (const size_t at : {size_t{6}, size_t{12}}) {
    page.body[at] = kSpeed >> 8;
    page.body[at + 1] = kSpeed & 0xff;
  }
  return page;
}

std::vector<Page> pages_of(UnitKind kind, bool locked) {
  if (kind == UnitKind::disk) return {caching(), control()};
  return {control(), capabilities(locked)};
}

void put(ByteWriter& out, const Page& page, bool changeable) {
  out.put(page.code);
  out.put(static_cast<uint8_t>(page.body.size()));
  if (changeable)
    out.zeros(page.body.size());
  else
    out.put(std::as_bytes(std::span(page.body)));
}

}  // namespace

std::optional<std::vector<std::byte>> mode_pages(const ModeRequest& request, UnitKind kind,
                                                 bool locked) {
  ByteWriter out;
  for (const Page& page : pages_of(kind, locked))
    if (request.page == kAllPages || request.page == page.code) put(out, page, request.changeable);
  if (out.size() == 0) return std::nullopt;
  return out.take();
}

}  // namespace vireo::scsi
