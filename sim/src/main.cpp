// The program: command line, observers, one run, reports.
#include <cerrno>
#include <ctime>
#include <cstdio>
#include <cstring>
#include <memory>

#include "machine.hpp"
#include "options.hpp"
#include "perfetto.hpp"
#include "profile.hpp"
#include "report.hpp"
#include "serve.hpp"
#include "visits.hpp"

namespace siracusa {
namespace {

constexpr int kUsageError = 2;

int complain(const std::string &what) {
    std::fprintf(stderr, "siracusa-sim: %s\n", what.c_str());
    return kUsageError;
}

struct CloseFile {
    void operator()(std::FILE *file) const {
        if (file != stderr) std::fclose(file);
    }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

File open_output(const std::string &path, std::string &error) {
    if (path == "-") return File(stderr);
    File file(std::fopen(path.c_str(), "wb"));
    if (!file) error = path + ": " + std::strerror(errno);
    return file;
}

// Hands every call on to all of them.
class Observers final : public Observer {
  public:
    void add(Observer *observer) { all_.push_back(observer); }
    bool empty() const { return all_.empty(); }
    void before(const Core &c, const Insn &i) override { for (Observer *o : all_) o->before(c, i); }
    void after(const Core &c, const Insn &i, std::uint32_t s, std::uint32_t f, std::uint32_t h) override { for (Observer *o : all_) o->after(c, i, s, f, h); }
    void slept(const Core &c, Cycle b, Cycle e) override { for (Observer *o : all_) o->slept(c, b, e); }
    void dma(Cycle b, Cycle e, bool in, std::uint32_t n) override { for (Observer *o : all_) o->dma(b, e, in, n); }
    void npu(Cycle a, Cycle b, Cycle e, const std::string &w) override { for (Observer *o : all_) o->npu(a, b, e, w); }

  private:
    std::vector<Observer *> all_;
};

bool poke_all(Machine &machine, const Arguments &arguments, std::string &error) {
    for (const auto &[place, file] : arguments.pokes) {
        std::uint32_t address = 0;
        std::vector<std::uint8_t> bytes;
        if (!machine.address(place, address, error) || !read_file(file, bytes, error) || !machine.poke(address, bytes, error)) return false;
    }
    return true;
}

bool dump_all(Machine &machine, const Arguments &arguments, std::string &error) {
    for (const auto &[place, path] : arguments.dumps) {
        const std::size_t colon = place.rfind(':');
        std::uint32_t address = 0;
        char *end = nullptr;
        const auto count = static_cast<std::uint32_t>(std::strtoul(place.c_str() + colon + 1, &end, 0));
        std::vector<std::uint8_t> bytes;
        if (*end != '\0') {
            error = "not a number of bytes: " + place;
            return false;
        }
        if (!machine.address(place.substr(0, colon), address, error) || !machine.peek(address, count, bytes, error)) return false;
        const File file = open_output(path, error);
        if (!file) return false;
        if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) {
            error = path + ": cannot be written";
            return false;
        }
    }
    return true;
}

void warn_once(std::vector<std::string> &seen, const std::string &text) {
    for (const std::string &old : seen) {
        if (old == text) return;
    }
    constexpr std::size_t kMost = 20;
    if (seen.size() > kMost) return;
    std::fprintf(stderr, "siracusa-sim: warning: %s\n", seen.size() == kMost ? "further warnings are not shown" : text.c_str());
    seen.push_back(text);
}

int run(const Arguments &arguments) {
    std::string error;
    auto machine = std::make_unique<Machine>(arguments.options);
    if (!machine->load_file(arguments.elf, error) || !poke_all(*machine, arguments, error)) return complain(error);
    std::vector<std::string> warnings;
    machine->soc.output = [](const char *text, std::size_t size) {
        std::fwrite(text, 1, size, stdout);
        std::fflush(stdout);
    };
    machine->soc.warning = [&](const std::string &text) { warn_once(warnings, text); };
    Observers observers;
    File trace_file, timeline_file;
    std::unique_ptr<Tracer> tracer;
    std::unique_ptr<Timeline> timeline;
    Profiler profiler(machine->elf);
    if (!arguments.trace.empty()) {
        if (!(trace_file = open_output(arguments.trace, error))) return complain(error);
        tracer = std::make_unique<Tracer>(trace_file.get(), machine->elf, machine->soc, arguments.trace_choice);
        observers.add(tracer.get());
    }
    if (!arguments.perfetto.empty()) {
        if (!(timeline_file = open_output(arguments.perfetto, error))) return complain(error);
        timeline = std::make_unique<Timeline>(timeline_file.get(), machine->elf);
        observers.add(timeline.get());
    }
    if (!arguments.profile.empty()) observers.add(&profiler);
    std::unique_ptr<Visits> visits;
    if (!arguments.visits.empty()) {
        visits = std::make_unique<Visits>(machine->soc, machine->elf, arguments.visits);
        observers.add(visits.get());
    }
    if (!observers.empty()) machine->soc.observer = &observers;

    const std::clock_t begin = std::clock();
    machine->soc.run();
    const double cpu_seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;

    if (timeline) timeline->finish(machine->soc);
    if (!arguments.profile.empty()) {
        const File file = open_output(arguments.profile, error);
        if (!file) return complain(error);
        std::fputs(profiler.text().c_str(), file.get());
    }
    if (!arguments.json.empty()) {
        const File file = open_output(arguments.json, error);
        if (!file) return complain(error);
        std::fprintf(file.get(), "%s\n", json_report(*machine, arguments.options, arguments.constants, cpu_seconds, visits.get()).c_str());
    }
    if (!dump_all(*machine, arguments, error)) return complain(error);
    const std::string problem = ending_report(*machine);
    if (!problem.empty()) std::fprintf(stderr, "siracusa-sim: %s", problem.c_str());
    else if (!arguments.quiet) std::fprintf(stderr, "siracusa-sim: %s\n", summary(*machine, arguments.constants).c_str());
    return exit_status(*machine);
}

}  // namespace
}  // namespace siracusa

int main(int count, char **words) {
    siracusa::Arguments arguments;
    std::string error;
    if (!siracusa::parse_arguments(count, words, arguments, error)) return siracusa::complain(error + " (--help lists the options)");
    if (arguments.help) {
        std::fputs(siracusa::kUsage, stdout);
        return 0;
    }
    return arguments.serve ? siracusa::serve(arguments) : siracusa::run(arguments);
}
