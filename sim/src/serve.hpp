// The line protocol for programs that drive the simulator: one command per line on stdin, one answer per line on stdout.
#pragma once
#include "options.hpp"

namespace siracusa {

// load FILE | symbol NAME | peek PLACE N | poke PLACE HEX | run [CYCLES] | quit. Answers: "ok ..." or "error ...".
// Bytes are hexadecimal; run answers with the report as JSON, the program's output in its field "output".
int serve(const Arguments &arguments);

}  // namespace siracusa
