// The dirty bitmaps of an open image: recording what is written into those that are enabled, and
// the changes of 'vireo image bitmap'.
//
// As in QEMU, a bitmap that records is marked as in use on disk meanwhile: after a crash its bits
// mean nothing. What it gains is kept in memory (DirtyBits) and added to its stored bits at the
// close, or when it is too much for memory. All other changes write the new state beside the old
// one and let one write of the header, which names another directory, make it valid.
//
// Thread: the image's loop. Everything but mark(), record() and store() needs the image for itself.
// Memory: kMarksInMemory and the directory. Errors: those of the file, ENOSPC; ENOENT and EEXIST
// for names; ENOTRECOVERABLE for a bitmap whose bits mean nothing (only removing it is possible);
// EINVAL for an impossible name or granularity, or bitmaps of disks of different sizes; EFBIG
// above QEMU's limits; ENOTSUP for version 2 and an empty disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "blockdev/format/qcow2/bitmap_reader.h"
#include "blockdev/format/qcow2/tables.h"

namespace vireo::blk::qcow2 {

class BitmapStore {
 public:
  static constexpr size_t kMarksInMemory = 16 * 1024 * 1024;

  BitmapStore(Image& image, Tables& tables) : image_(image), tables_(tables) {}

  // Reads the directory; with `record`, enabled bitmaps record from here on. A damaged directory
  // ends the bitmaps of an image that is written, with a warning, and so do more of them than
  // memory is for: a request may mark a cluster of each.
  Task<std::error_code> load(bool record);
  std::vector<BitmapInfo> list() const;

  // Requests tell what they change.
  void mark(uint64_t offset, uint64_t length);
  Task<void> record(uint64_t offset, uint64_t length);  // however long
  // More was marked than memory is for: store() is due.
  bool heavy() const noexcept { return recording_ > 0 && marks() > kMarksInMemory; }
  // Adds what was marked to the stored bits. A bitmap that cannot be stored is given up, with a
  // warning; what the guest wrote is safe all the same.
  Task<void> store();
  Task<void> close();

  // Around a change of the disk's size.
  Task<std::error_code> before_resize();
  Task<std::error_code> after_resize();

  Task<std::error_code> add(std::string name, uint64_t granularity);
  Task<std::error_code> remove(std::string name);
  Task<std::error_code> clear(std::string name);
  Task<std::error_code> enable(std::string name, bool enabled);
  // Everything that `source` calls dirty becomes dirty in `name`, too.
  Task<std::error_code> merge(std::string name, BitmapReader& source);
  // Of this image; what was marked is stored first.
  Task<Outcome<std::unique_ptr<BitmapReader>>> read(std::string name);

 private:
  struct Bitmap {
    BitmapInfo info;    // in_use: it was so when the image was opened, or it was given up since
    bool held = false;  // marked as in use by us
    std::unique_ptr<DirtyBits> marks;  // of one that records
    bool usable() const noexcept { return !info.in_use && !info.foreign; }
  };
  using Table = std::vector<uint64_t>;
  // What a resized bitmap was before: of its table, the first `kept` parts are still its own.
  struct Retired {
    BitmapInfo info;
    Table table;
    size_t kept = 0;
  };

  size_t marks() const noexcept;
  void start_recording(Bitmap& bitmap);
  void note_recording() noexcept;
  Bitmap* find(const std::string& name) noexcept;
  Outcome<Bitmap*> find_usable(const std::string& name) noexcept;
  std::error_code check_new(const std::string& name, uint64_t granularity) noexcept;
  void give_up(Bitmap& bitmap, std::error_code error);

  std::vector<BitmapInfo> as_stored() const;
  Task<std::error_code> write_flags();
  Task<std::error_code> publish();
  Task<Outcome<HostRange>> write_directory();

  Task<std::error_code> store_bitmap(Bitmap& bitmap);
  Task<Outcome<Table>> with_parts(Table table, DirtyBits::Parts parts);
  Task<Outcome<uint64_t>> write_part(uint64_t entry, DirtyBits::Part part);
  Task<std::error_code> write_table(uint64_t offset, Table table);
  Task<Outcome<uint64_t>> new_table(Table table);
  Task<std::error_code> merge_ranges(Bitmap& bitmap, BitmapReader& source);
  Task<Outcome<Retired>> fit(Bitmap& bitmap);
  Task<Outcome<uint64_t>> cut_part(uint64_t entry, uint64_t bits);
  bool writable(uint64_t host) const noexcept;
  void free_parts(const Table& table, size_t from);
  void free_table(const BitmapInfo& info);
  Task<std::error_code> free_bitmap(BitmapInfo info);

  Image& image_;
  Tables& tables_;
  BitmapDirectory at_;  // where the directory lies; its bitmaps are in bitmaps_
  std::vector<Bitmap> bitmaps_;
  size_t recording_ = 0;  // how many do
  uint64_t size_ = 0;     // of the disk that the tables are made for
  AsyncMutex storing_;
};

}  // namespace vireo::blk::qcow2
