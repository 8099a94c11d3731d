#include "dma.hpp"

#include <algorithm>
#include <cstring>

namespace siracusa {

std::uint32_t Dma::status() const {
    std::uint32_t value = (~free_counters_ & 0xffff) << 16;
    for (std::uint32_t k = 0; k < kCounters; k++) value |= (pending_[k] != 0 ? 1u : 0u) << k;
    return value;
}

Dma::Reply Dma::read(int channel, std::uint32_t offset, Cycle) {
    if (offset == 4) return {.value = status()};
    if (offset != 0) return {.ok = false};
    if (free_counters_ == 0) {
        waiting_for_counter_.push_back(channel);
        return {.sleep = true};
    }
    const auto counter = static_cast<std::uint32_t>(__builtin_ctz(free_counters_));
    free_counters_ &= free_counters_ - 1;
    channels_[static_cast<std::size_t>(channel)].counter = counter;
    return {.value = counter};
}

Dma::Reply Dma::write(int channel, std::uint32_t offset, std::uint32_t value, Cycle now) {
    if (offset == 4) {
        free_counters_ |= value & 0xffff;
        if (!waiting_for_counter_.empty() && free_counters_ != 0) {
            const int waiting = waiting_for_counter_.front();
            waiting_for_counter_.pop_front();
            host_.dma_counter(waiting, read(waiting, 0, now).value, now);
        }
        return {};
    }
    if (offset != 0) return {.ok = false};
    Channel &c = channels_[static_cast<std::size_t>(channel)];
    if (c.queue.size() == kCoreQueue) {
        c.waits_for_space = true, c.pending_word = value;
        return {.sleep = true};
    }
    push_word(channel, value, now);
    return {};
}

// Takes one word of a command; a complete command goes to the core's queue.
void Dma::push_word(int channel, std::uint32_t word, Cycle now) {
    Channel &c = channels_[static_cast<std::size_t>(channel)];
    if (c.open == kNone) {
        if (unused_.empty()) {
            unused_.push_back(static_cast<Slot>(commands_.size()));
            commands_.emplace_back();
        }
        c.open = unused_.back();
        unused_.pop_back();
        commands_[c.open] = Command{};
        commands_[c.open].channel = channel;
    }
    Command &command = commands_[c.open];
    Side &side = command.outside.lines && command.words < 5 ? command.outside : command.local;   // whose lines come next
    switch (command.words++) {
        case 0:
            command.control = word, command.size = command.unread = command.unwritten = word & 0x1ffff;
            command.counter = c.counter;
            command.outside.lines = word >> 19 & 1;
            command.local.lines = timing_ == Timing::chip && (word >> 23 & 1);   // the reference knows no lines in L1
            break;
        case 1: command.local.at = command.local.start = word; break;
        case 2: command.outside.at = command.outside.start = word; break;
        case 3:
        case 5: side.size = side.left = word; break;
        default: side.stride = word; break;
    }
    if (!complete(command)) return;
    command.begin = now;
    const Slot slot = c.open;
    c.open = kNone;
    const auto empty = [](const Side &s) { return s.lines && s.size == 0; };
    if (command.size == 0 || empty(command.outside) || empty(command.local)) {
        unused_.push_back(slot);               // nothing to move, and never a completion
        return;
    }
    pending_[command.counter] += command.size;
    c.queue.push_back(slot);
    (command.to_l1() ? core_reads_ : core_writes_)++;
    schedule(now);
}

bool Dma::complete(const Command &command) const {
    return command.words == 3u + (command.outside.lines ? 2u : 0u) + (command.local.lines ? 2u : 0u);
}

// What has to happen next, each at the earliest in the following cycle.
void Dma::schedule(Cycle now) {
    const auto need = [&](Activity activity, bool needed, Cycle when) {
        if (needed && due_[activity] == kNever) due_[activity] = when, place_[activity] = ++events_;
    };
    need(kQueue, (core_reads_ != 0 && !full(reads_)) || (core_writes_ != 0 && !full(writes_)), now + 1);
    need(kRead, (reading_ == kNone && !reads_.empty()) || (reading_ != kNone && reads_out_ < kOutstanding), now + 1);
    need(kWrite, (writing_ == kNone && !writes_.empty()) || (writing_ != kNone && collecting_.empty()), now + 1);
    if (!arrived_.empty() || !collecting_.empty()) need(kMove, true, std::max(now + 1, *std::min_element(port_ready_.begin(), port_ready_.end())));
    first_ = 0;
    for (std::size_t k = 1; k < kActivities; k++) {
        if (due_[k] < due_[first_] || (due_[k] == due_[first_] && place_[k] < place_[first_])) first_ = k;
    }
    next_ = due_[first_];
}

void Dma::step(Cycle now) {
    const std::size_t activity = first_;
    due_[activity] = kNever;
    switch (activity) {
        case kQueue:
            if (core_reads_ != 0 && !full(reads_)) move_to_global(true, now);
            else if (core_writes_ != 0 && !full(writes_)) move_to_global(false, now);
            break;
        case kRead: issue_read(now); break;
        case kWrite: issue_write(now); break;
        default: move_words(now); break;
    }
    schedule(now);
}

// Moves the first command of its direction from the core queues, round robin, to the global queue.
void Dma::move_to_global(bool to_l1, Cycle now) {
    for (int k = 0; k < kChannels; k++) {
        const int number = (first_channel_ + k) % kChannels;
        Channel &c = channels_[static_cast<std::size_t>(number)];
        const auto found = std::find_if(c.queue.begin(), c.queue.end(), [&](Slot slot) { return commands_[slot].to_l1() == to_l1; });
        if (found == c.queue.end()) continue;
        (to_l1 ? reads_ : writes_).push_back(*found);
        c.queue.erase(found);
        (to_l1 ? core_reads_ : core_writes_)--;
        first_channel_ = (first_channel_ + 1) % kChannels;
        if (c.waits_for_space) {
            c.waits_for_space = false;
            push_word(number, c.pending_word, now);
            host_.dma_resume(number, now);
        }
        return;
    }
}

// Cuts the next burst off a command: at most 256 bytes, at most one line.
Dma::Burst Dma::next_burst(Slot slot, Cycle now) {
    Command &c = commands_[slot];
    Burst burst;
    burst.command = slot;
    burst.size = c.local.most(c.outside.most(std::min(c.unread, kBurst)));
    burst.local = c.local.at & (kL1Size - 1), burst.outside = c.outside.at;
    burst.ready = now;
    if (timing_ == Timing::chip && !c.started) burst.ready += kFirstData;
    c.started = true;
    c.local.advance(burst.size), c.outside.advance(burst.size);
    c.unread -= burst.size;
    return burst;
}

void Dma::issue_read(Cycle now) {
    if (reading_ == kNone && !reads_.empty()) {
        reading_ = reads_.front();
        reads_.pop_front();
    }
    if (reading_ == kNone || reads_out_ >= kOutstanding) return;
    Burst burst = next_burst(reading_, now);
    if (commands_[reading_].unread == 0) reading_ = kNone;
    const std::uint8_t *source = host_.external(burst.outside, burst.size);
    if (source == nullptr) host_.dma_fault(burst.outside);
    std::memcpy(burst.bytes.data(), source, burst.size);
    if (timing_ == Timing::gvsoc) host_.external_busy(burst.outside, burst.size, now);   // its wait is not counted there
    reads_out_++;
    arrived_.push_back(burst);
}

void Dma::issue_write(Cycle now) {
    if (writing_ == kNone && !writes_.empty()) {
        writing_ = writes_.front();
        writes_.pop_front();
    }
    if (writing_ == kNone || !collecting_.empty()) return;
    collecting_.push_back(next_burst(writing_, now));
    if (commands_[writing_].unread == 0) writing_ = kNone;
}

// Two ports write L1, two read it, one word each per cycle and longer when the bank is taken.
void Dma::move_words(Cycle now) {
    for (std::size_t port = 0; port < port_ready_.size(); port++) {
        if (port_ready_[port] > now) continue;
        const bool into_l1 = port < 2;
        std::deque<Burst> &queue = into_l1 ? arrived_ : collecting_;
        if (queue.empty()) continue;
        if (queue.front().ready > now) {
            port_ready_[port] = queue.front().ready;
            continue;
        }
        move_word(queue.front(), port, into_l1, now);
    }
}

void Dma::move_word(Burst &burst, std::size_t port, bool into_l1, Cycle now) {
    const std::uint32_t offset = (burst.local + burst.done) & (kL1Size - 1);
    const std::uint32_t size = std::min(4 - (offset & 3), burst.size - burst.done);
    std::uint32_t wait = host_.tcdm().access_word(offset, now);
    if (timing_ == Timing::chip) wait = std::max(wait, outside_wait(burst, size, now));
    port_ready_[port] = now + wait + 1;
    std::uint8_t *inside = host_.tcdm().bytes() + offset, *buffered = burst.bytes.data() + burst.done;
    std::memcpy(into_l1 ? inside : buffered, into_l1 ? buffered : inside, size);
    burst.done += size;
    bytes_ += size;
    const bool last = burst.done == burst.size;
    if (into_l1) {
        host_.l1_written(offset, size);
        const Slot slot = burst.command;
        if (last) {
            arrived_.pop_front();
            reads_out_--;
        }
        account(slot, size, now);
    } else if (last) {
        finish_write(burst, now);
        collecting_.pop_front();
    }
}

// The wait for the outside words that these bytes are the first to need.
std::uint32_t Dma::outside_wait(const Burst &burst, std::uint32_t size, Cycle now) {
    const std::uint32_t from = burst.outside + burst.done, end = from + size;
    const std::uint32_t begin = burst.done == 0 ? from : ((from - 1) | 3) + 1;
    return begin < end ? host_.external_busy(begin, end - begin, now) : 0;
}

void Dma::finish_write(Burst &burst, Cycle now) {
    std::uint8_t *target = host_.external(burst.outside, burst.size);
    if (target == nullptr) host_.dma_fault(burst.outside);
    std::memcpy(target, burst.bytes.data(), burst.size);
    host_.external_written(burst.outside, burst.size);
    if (timing_ == Timing::gvsoc) host_.external_busy(burst.outside, burst.size, now);
    account(burst.command, burst.size, now);
}

void Dma::account(Slot slot, std::uint32_t bytes, Cycle now) {
    Command &c = commands_[slot];
    c.unwritten -= bytes;
    pending_[c.counter] -= bytes;
    const Command finished = c;
    if (c.unwritten == 0) {
        unused_.push_back(slot);
        host_.dma_span(c.begin, now, c.to_l1(), c.size);
    }
    if (pending_[finished.counter] == 0)
        host_.dma_event(finished.channel, finished.control >> 20 & 1, finished.control >> 21 & 1, finished.control >> 22 & 1, now);
}

}  // namespace siracusa
