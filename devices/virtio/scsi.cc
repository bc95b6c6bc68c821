#include "devices/virtio/scsi.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::dev {

// What a chain asks for, copied out of guest memory once; the buffers stay there.
struct Scsi::Request {
  bool valid = false;  // there were a whole header and CDB, and data as they may be
  ScsiRequestHeader header{};
  IoVecs head{};  // where the response and the sense data go
  scsi::Command command{};
};

struct Scsi::Outcome {
  ScsiResult result = ScsiResult::failure;
  scsi::Reply reply{};
};

// What a task management function is about: commands that came before it.
struct Scsi::Tasks {
  size_t target = 0;
  uint64_t last = 0;             // of their numbers
  std::optional<uint64_t> id{};  // none: all of them
};

namespace {

constexpr size_t kMaxEvents = 8;          // that wait for a buffer
constexpr uint32_t kMaxSectors = 0xffff;  // both are hints (5.6.4)
constexpr uint32_t kCommandsPerUnit = 128;

// A saved state is not trusted.
ScsiState checked(const std::string& name, ScsiState state,
                  const std::vector<ScsiTarget>& targets) {
  const auto refuse = [&](const char* why) {
    throw StateError(fmt::format("the saved state of '{}' {}", name, why));
  };
  if (state.sense_size > Scsi::kMaxSenseSize || state.cdb_size > Scsi::kMaxCdbSize)
    refuse("has sizes that no driver can have set");
  if (state.units.empty()) return state;
  if (state.units.size() != targets.size()) refuse("is of an adapter with other targets");
  for (size_t i = 0; i < targets.size(); ++i) {
    const scsi::UnitState& unit = state.units[i];
    const bool is_disk = targets[i].identity.kind == scsi::UnitKind::disk;
    if (unit.event > scsi::MediaEvent::removal || (is_disk && unit.tray_open))
      refuse(fmt::format("has a unit {} that cannot be", i).c_str());
  }
  return state;
}

const std::vector<ScsiTarget>& checked(const std::string& name,
                                       const std::vector<ScsiTarget>& targets) {
  if (targets.empty() || targets.size() > Scsi::kMaxTargets)
    throw ConfigError(fmt::format("{}: a SCSI adapter has 1 to {} units, not {}", name,
                                  Scsi::kMaxTargets, targets.size()));
  return targets;
}

// In either of the formats for small numbers, which agree on it (SAM-5, 4.7.7).
bool is_first_unit(const ScsiLun& lun) noexcept {
  return (lun[2] & ~0x40) == 0 && lun[3] == 0;
}

ScsiLun first_unit_of(size_t target) noexcept {
  return {1, static_cast<uint8_t>(target), 0x40};
}

uint64_t data_length(const scsi::Command& command) noexcept {
  return total_length(command.from) + total_length(command.into);
}

// 5.6.6.1: the response and the sense data behind it, `room` bytes in all, to a command with
// buffers of `length` bytes.
std::vector<std::byte> head_of(ScsiResult result, const scsi::Reply& reply, uint64_t length,
                               size_t room) {
  const auto sense = scsi::sense_data(reply.sense);
  const bool failed = reply.status == scsi::Status::check_condition;
  const size_t told = failed ? std::min(sense.size(), room - sizeof(ScsiResponse)) : 0;
  ScsiResponse response;
  response.sense_length = static_cast<uint32_t>(told);
  response.residual = static_cast<uint32_t>(length - reply.transferred);
  response.status = static_cast<uint8_t>(reply.status);
  response.response = static_cast<uint8_t>(result);
  ByteWriter out;
  out.put(response);
  out.put(std::as_bytes(std::span(sense)).first(told));
  out.zeros(room - out.size());
  return out.take();
}

}  // namespace

Scsi::Scsi(std::string name, VirtioEnv env, std::vector<ScsiTarget> targets, State state)
    : name_(std::move(name)),
      log_(std::move(env.log)),
      info_{.type = kTypeScsi,
            .features = kScsiFeatureChange,
            .queue_sizes = {kQueueSize, kQueueSize, kQueueSize}},
      state_(checked(name_, std::move(state), checked(name_, targets))),
      turn_end_(env.loop.each_turn([this] { notify_queues(); })) {
  state_.units.resize(targets.size());
  for (size_t i = 0; i < targets.size(); ++i)
    units_.emplace_back(std::move(targets[i].identity), std::move(targets[i].medium),
                        state_.units[i]);
  state_.units.clear();
}

Scsi::~Scsi() = default;

ScsiConfigSpace Scsi::config_space() const noexcept {
  ScsiConfigSpace config;
  config.num_queues = 1;
  config.seg_max = kMaxSegments;
  config.max_sectors = kMaxSectors;
  config.cmd_per_lun = kCommandsPerUnit;
  config.event_info_size = sizeof(ScsiEvent);
  config.sense_size = state_.sense_size;
  config.cdb_size = state_.cdb_size;
  config.max_target = static_cast<uint16_t>(units_.size() - 1);
  return config;
}

std::vector<std::byte> Scsi::config() const {
  const ScsiConfigSpace config = config_space();
  const auto bytes = bytes_of(config);
  return {bytes.begin(), bytes.end()};
}

// 5.6.4: two sizes can be written; one that is too large stays as it is.
void Scsi::config_written(uint32_t offset, std::span<const std::byte> bytes) {
  ScsiConfigSpace config = config_space();
  std::copy(bytes.begin(), bytes.end(), writable_bytes_of(config).begin() + offset);
  if (config.sense_size <= kMaxSenseSize) state_.sense_size = config.sense_size;
  if (config.cdb_size <= kMaxCdbSize) state_.cdb_size = config.cdb_size;
}

void Scsi::reset() {
  state_ = {};
  features_ = 0;
  events_.clear();
  for (scsi::Unit& unit : units_) unit.reset();
}

void Scsi::save(StateWriter& writer) const {
  State state = state_;
  state.events_missed |= !events_.empty();
  for (const scsi::Unit& unit : units_) state.units.push_back(unit.state());
  writer.put(name_ + ".device", state);
}

Task<void> Scsi::close() {
  for (scsi::Unit& unit : units_) {
    const std::error_code error = co_await unit.close();
    if (error) log_.error(name_, fmt::format("a disk did not close cleanly: {}", error.message()));
  }
}

void Scsi::start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) {
  features_ = features;
  QueueWork& work = queues_[index];
  work.start(std::move(queue));
  if (index == kScsiControlQueue)
    work.spawn(serve_control());
  else if (index == kScsiEventQueue)
    work.spawn(serve_events());
  else
    work.spawn(serve_requests());
}

Task<std::optional<QueueState>> Scsi::stop_queue(uint16_t index) {
  // What a rate limit holds back must not keep the machine from stopping.
  for (scsi::Unit& unit : units_) unit.hurry();
  QueueWork& work = queues_[index];
  if (work) work.queue().stop();
  if (index == kScsiEventQueue) has_event_.set();
  return work.stop();
}

// Once a turn, so that what ends together makes one interrupt.
void Scsi::notify_queues() {
  for (QueueWork& work : queues_)
    if (work) work.queue().notify();
}

std::optional<size_t> Scsi::target_of(const ScsiLun& lun) const noexcept {
  if (lun[0] != 1 || lun[1] >= units_.size()) return std::nullopt;
  return lun[1];
}

// --- commands ---

Task<void> Scsi::serve_requests() {
  QueueWork& work = queues_[kScsiRequestQueue];
  do {
    while (auto chain = work.queue().pop()) work.spawn(handle(std::move(*chain)));
  } while (co_await work.queue().kicked());
}

Task<void> Scsi::handle(Chain chain) {
  std::optional<Request> request = parse(chain);
  if (!request) {
    log_.guest_noise(name_, "a request has no room for its response");
    co_return;  // the chain goes back by itself
  }
  const IoVecs head = request->head;
  const bool reads = !request->command.into.empty();
  const uint64_t length = data_length(request->command);
  const auto flight = flights_.insert(
      flights_.end(), {++arrivals_, request->header.lun, request->header.id, std::nullopt});
  Outcome outcome = co_await execute(std::move(*request));
  if (flight->fate) outcome = {*flight->fate};
  const auto bytes = head_of(outcome.result, outcome.reply, length, total_length(head));
  copy_to(head, bytes);
  const uint64_t written = bytes.size() + (reads ? outcome.reply.transferred : 0);
  queues_[kScsiRequestQueue].queue().push(std::move(chain), static_cast<uint32_t>(written));
  flights_.erase(flight);
  flight_ended_.set();
}

std::optional<Scsi::Request> Scsi::parse(Chain& chain) const {
  const uint64_t head = sizeof(ScsiResponse) + state_.sense_size;
  if (chain.writable().remaining() < head) return std::nullopt;
  Request request;
  request.head = chain.writable().take(head);
  const auto header = chain.readable().read<ScsiRequestHeader>();
  if (!header || chain.readable().remaining() < state_.cdb_size) return request;
  std::vector<std::byte> cdb(state_.cdb_size);
  chain.readable().read(cdb);
  request.header = *header;
  request.command.cdb = scsi::Cdb(cdb);
  request.command.from = chain.readable().take(chain.readable().remaining());
  request.command.into = chain.writable().take(chain.writable().remaining());
  const size_t out = request.command.from.size(), in = request.command.into.size();
  request.valid = (out == 0 || in == 0) && out + in <= kMaxSegments;  // without F_INOUT
  return request;
}

Task<Scsi::Outcome> Scsi::execute(Request request) {
  if (!request.valid) co_return Outcome{ScsiResult::failure};
  const ScsiLun& lun = request.header.lun;
  const auto target = target_of(lun);
  if (!target) co_return Outcome{ScsiResult::bad_target};
  scsi::Reply reply;
  if (is_first_unit(lun))
    reply = co_await units_[*target].execute(std::move(request.command));
  else
    reply = scsi::answer_absent_unit(request.command);
  co_return Outcome{reply.overrun ? ScsiResult::overrun : ScsiResult::ok, reply};
}

// --- task management ---

Task<void> Scsi::serve_control() {
  QueueWork& work = queues_[kScsiControlQueue];
  do {
    while (auto chain = work.queue().pop()) work.spawn(control(std::move(*chain)));
  } while (co_await work.queue().kicked());
}

Task<void> Scsi::control(Chain chain) {
  const auto type = chain.readable().read<le32>();
  if (type && ScsiControl{uint32_t{*type}} == ScsiControl::task_management) {
    if (const auto request = chain.readable().read<ScsiTaskManagement>()) {
      const ScsiResult result = co_await manage_tasks(*request);
      co_return answer_control(std::move(chain), bytes_of(result));
    }
  } else if (type && uint32_t{*type} <= uint32_t(ScsiControl::subscribe)) {
    if (const auto request = chain.readable().read<ScsiEventRequest>())
      co_return answer_control(std::move(chain), bytes_of(answer_events(*request)));
  }
  log_.guest_noise(name_, "a control request is none");  // and its chain goes back by itself
}

void Scsi::answer_control(Chain chain, std::span<const std::byte> answer) {
  const size_t written = chain.writable().write(answer);
  if (written < answer.size())
    log_.guest_noise(name_, "a control request has no room for its response");
  queues_[kScsiControlQueue].queue().push(std::move(chain), static_cast<uint32_t>(written));
}

// 5.6.6.2: no unit has asynchronous events: what is polled for is told without being asked, by
// VIRTIO_SCSI_F_CHANGE.
ScsiEventResponse Scsi::answer_events(const ScsiEventRequest& request) const noexcept {
  ScsiEventResponse response;
  ScsiResult result = is_first_unit(request.lun) ? ScsiResult::ok : ScsiResult::incorrect_lun;
  if (!target_of(request.lun)) result = ScsiResult::bad_target;
  response.response = static_cast<uint8_t>(result);
  return response;
}

// A target has one unit, so that a reset of either is the same. It comes at once: commands that
// arrive while old ones end are told of it.
Task<ScsiResult> Scsi::manage_tasks(ScsiTaskManagement request) {
  const auto function = ScsiFunction{uint32_t{request.function}};
  const auto target = target_of(request.lun);
  if (!target) co_return ScsiResult::bad_target;
  if (function != ScsiFunction::nexus_reset && !is_first_unit(request.lun))
    co_return ScsiResult::incorrect_lun;
  const Tasks all{*target, arrivals_}, one{*target, arrivals_, request.id};
  switch (function) {
    case ScsiFunction::abort_task:
      co_return co_await end_tasks(one, ScsiResult::aborted);
    case ScsiFunction::abort_task_set:
    case ScsiFunction::clear_task_set:  // of the one initiator that there is
      co_return co_await end_tasks(all, ScsiResult::aborted);
    case ScsiFunction::nexus_reset:
    case ScsiFunction::unit_reset:
      units_[*target].reset();
      co_return co_await end_tasks(all, ScsiResult::reset);
    case ScsiFunction::query_task:
      co_return any_under_way(one) ? ScsiResult::function_succeeded : ScsiResult::ok;
    case ScsiFunction::query_task_set:
      co_return any_under_way(all) ? ScsiResult::function_succeeded : ScsiResult::ok;
  }
  co_return ScsiResult::function_rejected;
}

bool Scsi::concerns(const Tasks& tasks, const Flight& flight) const noexcept {
  return flight.number <= tasks.last && target_of(flight.lun) == tasks.target &&
         (!tasks.id || *tasks.id == flight.id);
}

bool Scsi::any_under_way(const Tasks& tasks) const noexcept {
  return std::any_of(flights_.begin(), flights_.end(),
                     [&](const Flight& flight) { return concerns(tasks, flight); });
}

Task<ScsiResult> Scsi::end_tasks(Tasks tasks, ScsiResult fate) {
  for (Flight& flight : flights_)
    if (concerns(tasks, flight)) flight.fate = fate;
  units_[tasks.target].hurry();
  while (any_under_way(tasks)) {
    flight_ended_.reset();
    co_await flight_ended_.wait();
  }
  co_return ScsiResult::ok;
}

// --- media ---

Task<scsi::TrayResult> Scsi::eject(size_t target, bool forced) {
  const scsi::TrayResult result = co_await units_[target].eject(forced);
  if (result == scsi::TrayResult::done) tell_change(target, scsi::kNoMediumTrayOpen);
  co_return result;
}

Task<scsi::TrayResult> Scsi::insert(size_t target, std::unique_ptr<blk::Disk> medium) {
  const scsi::TrayResult result = co_await units_[target].insert(std::move(medium));
  if (result == scsi::TrayResult::done) tell_change(target, scsi::kMediumChanged);
  co_return result;
}

// 5.6.6.3: the reason is the sense code, and above it its qualifier.
void Scsi::tell_change(size_t target, const scsi::Sense& what) {
  if ((features_ & kScsiFeatureChange) == 0) return;
  ScsiEvent event;
  event.type = kScsiEventParameterChange;
  event.lun = first_unit_of(target);
  event.reason = what.code | uint32_t{what.qualifier} << 8;
  if (events_.size() < kMaxEvents)
    events_.push_back(event);
  else
    state_.events_missed = true;
  has_event_.set();  // serve_events() goes on in here
}

Task<void> Scsi::serve_events() {
  Queue& queue = queues_[kScsiEventQueue].queue();
  while (!queue.stopping()) {
    deliver_events();
    if (has_events()) {
      co_await queue.kicked();
    } else {
      has_event_.reset();
      co_await has_event_.wait();
    }
  }
}

void Scsi::deliver_events() {
  Queue& queue = queues_[kScsiEventQueue].queue();
  while (has_events()) {
    auto chain = queue.pop();
    if (!chain) return;
    const size_t written = chain->writable().write(bytes_of(take_event()));
    if (written < sizeof(ScsiEvent)) log_.guest_noise(name_, "an event buffer has no room");
    queue.push(std::move(*chain), static_cast<uint32_t>(written));
  }
}

// What was missed is told with the next event, or with none.
ScsiEvent Scsi::take_event() {
  ScsiEvent event;
  if (!events_.empty()) {
    event = events_.front();
    events_.pop_front();
  }
  if (std::exchange(state_.events_missed, false)) event.type = event.type | kScsiEventsMissed;
  return event;
}

}  // namespace vireo::dev
