// The energy model: what each term is charged for, overriding, and the totals if a constant is off by two.
#include "energy.hpp"

#include <cmath>

#include "check.hpp"

using namespace siracusa;

namespace {

bool near(double a, double b) { return std::fabs(a - b) < 1e-9 * (1 + std::fabs(b)); }

const EnergyTerm &term(const std::vector<EnergyTerm> &terms, const std::string &name) {
    for (const EnergyTerm &t : terms)
        if (t.name == name) return t;
    static const EnergyTerm kNone{};
    return kNone;
}

// The published operating point: eight cores awake at 360 MHz, 463 pJ per cycle, give 166.6 mW.
void operating_point() {
    Activity activity;
    activity.cycles = 1000000;
    for (int core = 0; core < kWorkers; core++) activity.awake[static_cast<std::size_t>(core)] = activity.cycles;
    activity.awake[kFabric] = activity.cycles;             // in the background already
    activity.asleep[kWorkers] = activity.cycles;           // the controller core, too
    double total = 0;
    for (const EnergyTerm &t : energy(activity, energy_constants())) total += t.microjoule;
    CHECK(near(total, 463));
}

void terms_and_sensitivity() {
    Activity activity;
    activity.cycles = 1000, activity.awake[0] = 600, activity.asleep[0] = 400;
    activity.dma_bytes = 64, activity.npu_busy = 100, activity.npu_macs = 5000, activity.weight_words = 7, activity.external_bytes = 3;
    const auto terms = energy(activity, energy_constants());
    CHECK(terms.size() == 8);
    CHECK(near(term(terms, "core").microjoule, 600 * 36e-6));
    CHECK(near(term(terms, "sleep").microjoule, 400 * 3.6e-6));
    CHECK(near(term(terms, "background").microjoule, 1000 * 175e-6));
    CHECK(near(term(terms, "dma").microjoule, 64 * 2e-6));
    CHECK(near(term(terms, "npu").microjoule, 100 * 64e-6));
    CHECK(near(term(terms, "mac").microjoule, 5000 * 0.17e-6));
    CHECK(near(term(terms, "wmem").microjoule, 7 * 256e-6));
    CHECK(near(term(terms, "ext").microjoule, 3 * 100e-6));
    double total = 0, shares = 0;
    for (const EnergyTerm &t : terms) total += t.microjoule, shares += t.share;
    CHECK(near(shares, 1));
    for (const EnergyTerm &t : terms) {
        CHECK(near(t.total_if_doubled, total + t.microjoule));
        CHECK(near(t.total_if_halved, total - t.microjoule / 2));
    }
}

void overriding() {
    auto constants = energy_constants();
    std::string error;
    CHECK(override_energy(constants, "dma=4.5", error));
    for (const EnergyConstant &c : constants) {
        CHECK(!c.source.empty() && c.picojoule >= 0);
        if (c.name == "dma") CHECK(near(c.picojoule, 4.5));
    }
    for (const char *wrong : {"dma", "dma=", "dma=x", "dma=-1", "dma=inf", "dma=1 ", "nothing=1", ""}) {
        error.clear();
        CHECK(!override_energy(constants, wrong, error));
        CHECK(!error.empty());
    }
}

}  // namespace

int main() {
    operating_point();
    terms_and_sensitivity();
    overriding();
    return check::failures != 0;
}
