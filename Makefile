# Makefile - the one makefile of Consilium; `make help` lists its targets
#
# Sources are found by folder: common/F becomes lib/F.a, a program's folder
# becomes bin/P.  Which archives a folder's tests may link is read from
# common/layers.txt, so a call against the arrows does not link.
# Nothing here needs a compiler while make reads this file: `make demo` is
# the first command on a machine that has only make.

VERSION := 0.1.0
PREFIX  ?= /usr/local

# SAN=address,undefined or SAN=thread builds into a folder of its own.
comma := ,
BUILD ?= build$(if $(SAN),-san-$(subst $(comma),-,$(SAN)))

ifeq ($(origin CC),default)
CC = gcc
endif
ifeq ($(origin CXX),default)
CXX = g++
endif

Q := $(if $(filter 1,$(V)),,@)
# Uses every core unless the user said how many jobs.
jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
submake = $(MAKE) --no-print-directory $(jobs)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:

# ---------------------------------------------------------------- packages

# What a bare Debian 12 lacks: to build and run, to test, to test everything.
DEPS := gcc libc6-dev libdnnl-dev libopenblas-pthread-dev \
    liblapacke-dev libzmq3-dev libsodium-dev libprotobuf-c-dev \
    protobuf-c-compiler libonnx-dev libsqlite3-dev libyaml-dev \
    libjansson-dev libpng-dev libjpeg-dev libzip-dev zlib1g-dev \
    libcharls-dev libopenjp2-7-dev gnuplot-nox
DEPS_CHECK := libcmocka-dev python3-jsonschema iproute2 libonnx-testdata
DEPS_CI := chromium
DEPS_FUZZ := clang libclang-rt-dev
DEPS_BENCH := python3-torch
DEPS_VALGRIND := valgrind

# Silent when nothing is missing.
define install_packages
@if ! command -v dpkg-query >/dev/null; then \
    echo "Not a Debian system; these packages' equivalents are needed: $(1)"; \
    exit 0; \
fi; \
have=$$(dpkg-query -W -f='$${db:Status-Abbrev} $${Package}\n' $(1) \
        2>/dev/null | sed -n 's/^ii *//p' | tr '\n' ' '); \
missing=; \
for p in $(1); do \
    case " $$have " in *" $$p "*) ;; *) missing="$$missing $$p" ;; esac; \
done; \
[ -n "$$missing" ] || exit 0; \
root=; \
if [ "$$(id -u)" != 0 ]; then \
    root=sudo; \
    command -v sudo >/dev/null || \
        { echo "To be installed by root first:$$missing"; exit 1; }; \
fi; \
echo "Installing with apt-get$${root:+ (through sudo)}:$$missing"; \
mkdir -p $(BUILD); \
$$root apt-get update -qq && \
$$root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
    $$missing >$(BUILD)/apt.log || \
{ echo "apt-get failed; what it did is in $(BUILD)/apt.log"; exit 1; }
endef

.PHONY: deps deps-check deps-ci deps-fuzz deps-bench deps-valgrind
deps:       ; $(call install_packages,$(DEPS))
deps-check: ; $(call install_packages,$(DEPS) $(DEPS_CHECK))
deps-ci:    ; $(call install_packages,$(DEPS) $(DEPS_CHECK) $(DEPS_CI))
deps-fuzz:  ; $(call install_packages,$(DEPS) $(DEPS_FUZZ))
deps-valgrind: ; $(call install_packages,$(DEPS) $(DEPS_CHECK) $(DEPS_VALGRIND))
# Without the peer a bench still measures us.
deps-bench: deps ; -$(call install_packages,$(DEPS_BENCH))

# ------------------------------------------------------------------- flags

warnings := -Wall -Wextra -Wshadow -Wpointer-arith -Wwrite-strings -Wvla \
    -Wformat=2 $(if $(DEV),-Werror)
c_warnings := -Wstrict-prototypes -Wmissing-prototypes

# Fused multiply-adds would make results depend on the compiler's mood.
common_flags := -O2 -g -ffp-contract=off -fPIE -fstack-protector-strong \
    $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=undefined \
        -fno-omit-frame-pointer,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
includes := -Icommon -I. -Itests -isystem $(BUILD)/gen
defines  := -D_POSIX_C_SOURCE=200809L -DFL_VERSION='"$(VERSION)"'

c_flags   = -std=c11 $(common_flags) $(warnings) $(c_warnings) $(defines) \
    $(includes) $(folder_flags) -MMD -MP $(CPPFLAGS) $(CFLAGS)
cxx_flags = -std=c++17 $(common_flags) $(warnings) $(includes) -MMD -MP \
    $(CPPFLAGS) $(CXXFLAGS)
ld_flags  = -pie -Wl,-z,relro,-z,now -Wl,--as-needed \
    $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

# The training engine's plain loops gain from the vectoriser, and share oneDNN's
# threads: the same runtime, which is GCC's.  (What watches threads does not know it.)
openmp := $(if $(SAN)$(findstring clang,$(CC)),,-fopenmp)
$(BUILD)/obj/common/nn/%.o: folder_flags := -O3 $(openmp) -Wno-unknown-pragmas

# OpenJPEG's header lies in a folder named after its version.
openjpeg_dir = $(lastword $(wildcard /usr/include/openjpeg-2.* /usr/local/include/openjpeg-2.*))
$(BUILD)/obj/common/data/dicom_codecs.o: folder_flags = $(addprefix -isystem ,$(openjpeg_dir))

# Outside libraries, by the folder that includes them.
libs_base := -lsodium -lyaml -ljansson -lpthread -lm
libs_nn   := -ldnnl -lopenblas $(if $(openmp),-lgomp)
libs_ckpt := -lprotobuf-c
libs_data := -lzip -lpng -ljpeg -lz -lcharls -lopenjp2 $(if $(wildcard common/data/*.cc),-lstdc++)
libs_fed  := -lzmq -lprotobuf-c
libs_coordinator := -lsqlite3

# ---------------------------------------------------------- generated code

# ONNX's own format description comes with libonnx-dev.
ONNX_PROTO ?= $(firstword $(wildcard /usr/include/onnx/onnx.proto \
    /usr/include/onnx/onnx-ml.proto))

gen_fed  := $(if $(wildcard proto/fed.proto),$(BUILD)/obj/gen/fed.pb-c.o)
gen_ckpt := $(BUILD)/obj/gen/onnx.pb-c.o
gen_headers_fed  := $(if $(gen_fed),$(BUILD)/gen/fed.pb-c.h)
gen_headers_ckpt := $(BUILD)/gen/onnx.pb-c.h

$(BUILD)/gen/fed.proto: proto/fed.proto
	@mkdir -p $(@D)
	$(Q)cp $< $@

$(BUILD)/gen/onnx.proto: $(ONNX_PROTO)
	@mkdir -p $(@D)
	@test -n "$<" || { echo "onnx.proto not found: run make deps, or set ONNX_PROTO"; exit 1; }
	$(Q)cp $< $@

$(BUILD)/gen/%.pb-c.c $(BUILD)/gen/%.pb-c.h: $(BUILD)/gen/%.proto
	@echo "GEN $*.pb-c.c"
	$(Q)protoc-c --proto_path=$(@D) --c_out=$(@D) $(<F)

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(common_flags) -w $(includes) -MMD -MP $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# ----------------------------------------------------- folders and programs

PROGRAMS := coordinator client sim

# layers.txt gives `uses_F` for every folder F, lowest first.
layers  := $(shell sed -n '/^library/d; s/ \{1,\}/$(comma)/g; /^[a-z]*:/p' common/layers.txt)
FOLDERS := $(filter-out $(PROGRAMS),$(foreach l,$(layers),$(firstword $(subst :, ,$(l)))))
$(foreach l,$(layers),$(eval uses_$(subst $(comma), ,$(subst :,:=,$(l)))))

objects = $(patsubst %,$(BUILD)/obj/%.o,$(basename $(1)))
archives = $(patsubst %,$(BUILD)/lib/%.a,$(1))
place = $(if $(filter $(1),$(PROGRAMS)),$(1),common/$(1))
unique = $(if $(1),$(firstword $(1)) $(call unique,$(filter-out $(firstword $(1)),$(1))))

# $(1): a folder.  stands_F: the folder and all it stands on, for linking.
define folder
stands_$(1) := $$(call unique,$(1) $$(foreach u,$$(uses_$(1)),$$(stands_$$(u))))
libs_of_$(1) := $$(call unique,$$(foreach f,$$(stands_$(1)),$$(libs_$$(f))))
objects_$(1) := $$(call objects,$$(wildcard $(call place,$(1))/*.c $(call place,$(1))/*.cc))
$$(objects_$(1)): | $$(gen_headers_$(1))
$$(BUILD)/lib/$(1).a: $$(filter-out %/main.o,$$(objects_$(1))) $$(gen_$(1))

tests_$(1) := $$(patsubst %.c,$$(BUILD)/%,$$(wildcard tests/$(1)/test_*.c))
long_$(1) := $$(patsubst %.c,$$(BUILD)/%,$$(wildcard tests/$(1)/long_*.c))
test_objects_$(1) := $$(call objects,$$(wildcard tests/$(1)/*.c))
helpers_$(1) := $$(filter-out $$(BUILD)/obj/tests/$(1)/test_% $$(BUILD)/obj/tests/$(1)/long_%,$$(test_objects_$(1)))
$$(test_objects_$(1)): | $$(gen_headers_$(1))
$$(tests_$(1)) $$(long_$(1)): libs = $$(libs_of_$(1)) -lcmocka
$$(tests_$(1)) $$(long_$(1)): $$(BUILD)/tests/$(1)/%: $$(BUILD)/obj/tests/$(1)/%.o \
        $$(helpers_$(1)) $$(call archives,$$(stands_$(1)))
	$$(link)
endef

# $(1): a program.
define program
$$(BUILD)/bin/$(1): libs = $$(libs_of_$(1))
$$(BUILD)/bin/$(1): $$(BUILD)/obj/$(1)/main.o $$(call archives,$$(stands_$(1)))
	$$(link)
endef

define link
@mkdir -p $(@D)
@echo "LD  $(@:$(BUILD)/%=%)"
$(Q)$(CC) $(ld_flags) -o $@ $(filter %.o,$^) \
    -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(libs) $(LDLIBS)
endef

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "CC  $<"
	$(Q)$(CC) $(c_flags) -c -o $@ $<

$(BUILD)/obj/%.o: %.cc
	@mkdir -p $(@D)
	@echo "CXX $<"
	$(Q)$(CXX) $(cxx_flags) -c -o $@ $<

$(BUILD)/lib/%.a:
	@mkdir -p $(@D)
	@echo "AR  $(@:$(BUILD)/%=%)"
	$(Q)rm -f $@ && ar rcs $@ $^

$(foreach f,$(FOLDERS) $(PROGRAMS),$(eval $(call folder,$(f))))
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

bins := $(foreach p,$(PROGRAMS),$(if $(wildcard $(p)/main.c),$(BUILD)/bin/$(p)))

.PHONY: all libs
all: libs $(bins) ; @:
libs: $(call archives,$(FOLDERS)) ; @:

# ------------------------------------------------------------------- tests

# Tests without a folder of their own (fuzz harnesses with a driver that
# replays inputs, end to end, benches) stand on all of common/.
all_archives := $(call archives,$(FOLDERS))
all_libs := $(call unique,$(foreach f,$(FOLDERS),$(libs_$(f))))

e2e_tests := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/e2e/test_*.c))
e2e_long  := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/e2e/long_*.c))
e2e_helpers := $(call objects,$(filter-out tests/e2e/test_% tests/e2e/long_%,$(wildcard tests/e2e/*.c)))
$(e2e_tests) $(e2e_long): libs = $(all_libs) -lcmocka
$(e2e_tests) $(e2e_long): $(BUILD)/tests/e2e/%: $(BUILD)/obj/tests/e2e/%.o $(e2e_helpers) $(all_archives)
	$(link)

# The chaos rig: one program, what it loads into others, and others with a bug
# planted between their objects.
chaos := $(BUILD)/tests/e2e/chaos/chaos $(BUILD)/tests/e2e/chaos/preload.so
chaos_objects := $(call objects,$(filter-out %/preload.c,$(wildcard tests/e2e/chaos/*.c)))
$(BUILD)/tests/e2e/chaos/chaos: libs = $(all_libs)
$(BUILD)/tests/e2e/chaos/chaos: $(chaos_objects) $(all_archives)
	$(link)
$(BUILD)/tests/e2e/chaos/preload.so: tests/e2e/chaos/preload.c
	@mkdir -p $(@D)
	@echo "LD  $(@:$(BUILD)/%=%)"
	$(Q)$(CC) -std=gnu11 -O2 -g -shared -fPIC $(warnings) -o $@ $< -ldl

planted := $(addprefix $(BUILD)/tests/e2e/chaos/planted/,commit_before_record fold_before_verify renoise)
$(planted): program := coordinator
$(BUILD)/tests/e2e/chaos/planted/renoise: program := client
$(BUILD)/tests/e2e/chaos/planted/commit_before_record: wrapped := record_begin record_commit \
    record_commit_later record_rollback record_close
$(BUILD)/tests/e2e/chaos/planted/fold_before_verify: wrapped := transfer_start check_piece spool_digest
$(BUILD)/tests/e2e/chaos/planted/renoise: wrapped := outbox_open outbox_put_update
$(planted): ld_flags += $(addprefix -Wl$(comma)--wrap=,$(wrapped))
$(planted): libs = $(libs_of_$(program))
$(filter-out %/renoise,$(planted)): $(BUILD)/tests/e2e/chaos/planted/%: \
        $(BUILD)/obj/tests/e2e/chaos/planted/%.o $(BUILD)/obj/coordinator/main.o \
        $(call archives,$(stands_coordinator))
	$(link)
$(filter %/renoise,$(planted)): $(BUILD)/tests/e2e/chaos/planted/%: \
        $(BUILD)/obj/tests/e2e/chaos/planted/%.o $(BUILD)/obj/client/main.o \
        $(call archives,$(stands_client))
	$(link)
chaos += $(planted)

fuzz_names := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_tests := $(fuzz_names:%=$(BUILD)/tests/fuzz/test_%)
$(fuzz_tests): libs = $(all_libs)
$(fuzz_tests): $(BUILD)/tests/fuzz/test_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o \
        $(BUILD)/obj/tests/fuzz/replay.o $(all_archives)
	$(link)

unit_tests := $(foreach f,$(FOLDERS) $(PROGRAMS),$(tests_$(f))) $(fuzz_tests) \
    $(filter-out tests/e2e/%,$(wildcard tests/*/test_*.sh))
end_tests := $(e2e_tests) $(wildcard tests/e2e/test_*.sh)
long_tests := $(foreach f,$(FOLDERS) $(PROGRAMS),$(long_$(f))) $(e2e_long) \
    $(wildcard tests/*/long_*.sh)
built = $(filter $(BUILD)/%,$(1))

.PHONY: check check-unit check-long tests chaos
tests: $(call built,$(unit_tests) $(end_tests)) $(chaos) benches ; @:

check: deps-check
	$(Q)$(submake) all tests
	$(Q)BUILD=$(abspath $(BUILD)) tests/run $(unit_tests) $(end_tests)

check-unit: deps-check
	$(Q)$(submake) all $(call built,$(unit_tests))
	$(Q)BUILD=$(abspath $(BUILD)) tests/run $(unit_tests)

check-long: deps-check
	$(Q)$(submake) all tests $(call built,$(long_tests))
	$(Q)BUILD=$(abspath $(BUILD)) TEST_TIMEOUT=$${TEST_TIMEOUT:-43200} \
	    tests/run $(unit_tests) $(end_tests) $(long_tests)

# What starts threads, and the whole chain of real programs, under ThreadSanitizer, one thread a site.  Libraries
# that are not built for it are in tests/threads.supp.  The short selection takes a minute or two.
threads_short := base/test_sys data/test_ahead fed/test_transport_zmq fed/test_proxy client/test_session e2e/small.sh
THREADS_TESTS ?= $(threads_short) $(patsubst tests/%.c,%,$(wildcard tests/e2e/test_*.c)) \
    $(patsubst tests/%,%,$(wildcard tests/e2e/test_*.sh))
threads_build := build-san-thread
# $(1): names as in THREADS_TESTS; $(2): the build's folder.
named_tests = $(foreach t,$(1),$(if $(filter %.sh,$(t)),tests/$(t),$(2)/tests/$(t)))
.PHONY: check-threads check-threads-short
check-threads: deps-check
	$(Q)$(submake) SAN=thread BUILD=$(threads_build) all $(threads_build)/tests/planted_race \
	    $(patsubst $(BUILD)/%,$(threads_build)/%,$(chaos) $(federation_bench)) \
	    $(filter $(threads_build)/%,$(call named_tests,$(THREADS_TESTS),$(threads_build)))
	$(Q)BUILD=$(abspath $(threads_build)) tests/under_threads $(call named_tests,$(THREADS_TESTS),$(threads_build))
check-threads-short:
	$(Q)$(MAKE) --no-print-directory check-threads THREADS_TESTS="$(threads_short)"

# Memory that is invalid, uninitialised or lost, in what reads keys and remembers who may talk, and in a whole federation in little: two
# hospitals, three rounds, minutes.  Any other test may be named, also a script: make check-valgrind VALGRIND_TESTS=e2e/test_resume.sh.
VALGRIND_TESTS ?= base/test_buf fed/test_rotation client/test_peer coordinator/test_roster e2e/small.sh
valgrind_tests = $(call named_tests,$(VALGRIND_TESTS),$(BUILD))
.PHONY: check-valgrind
check-valgrind: deps-valgrind
	$(Q)$(submake) all $(BUILD)/tests/planted $(call built,$(valgrind_tests))
	$(Q)BUILD=$(abspath $(BUILD)) tests/under_valgrind $(valgrind_tests)

# Optimised, their errors would be gone.
$(BUILD)/tests/planted $(BUILD)/tests/planted_race: $(BUILD)/tests/%: tests/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -O0 -g -w $(if $(SAN),-fsanitize=$(SAN)) -pthread -o $@ $<

# Breaks a federation on purpose, 140 times (each lie is told once); SEED=N plays the same again.
SEED ?= any
chaos: deps-check
	$(Q)$(submake) all $(chaos)
	$(Q)BUILD=$(abspath $(BUILD)) $(firstword $(chaos)) --runs 140 --least 500 --seed $(SEED)

# --------------------------------------------------------- fuzz and benches

FUZZ_SECONDS ?= 300
fuzzers := $(fuzz_names:%=$(BUILD)/fuzz/%)
$(fuzzers): libs = $(all_libs) -fsanitize=fuzzer
$(fuzzers): $(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(all_archives)
	$(link)

.PHONY: fuzz fuzzers
fuzzers: $(fuzzers)
fuzz: deps-fuzz
	$(Q)$(submake) CC=clang BUILD=build-fuzz SAN=address,undefined,fuzzer-no-link fuzzers
	$(Q)for name in $(fuzz_names); do \
	    mkdir -p out/fuzz/$$name tests/fuzz/corpus/$$name; \
	    build-fuzz/fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
	        -artifact_prefix=out/fuzz/$$name- out/fuzz/$$name tests/fuzz/corpus/$$name || exit 1; \
	done

# A bench prints its table and writes one JSON object a line to the file it
# is given; the lines are joined into the list that README's numbers are from.
bench_programs := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/bench_*.c))
bench_helpers := $(call objects,$(filter-out tests/bench/bench_% tests/bench/play_%,$(wildcard tests/bench/*.c)))
$(bench_programs): libs = $(all_libs)
$(filter-out %/bench_rules,$(bench_programs)): $(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o \
        $(bench_helpers) $(all_archives)
	$(link)

# The coordinator's own rules.
$(BUILD)/tests/bench/bench_rules: libs = $(libs_of_coordinator)
$(BUILD)/tests/bench/bench_rules: $(BUILD)/obj/tests/bench/bench_rules.o \
        $(call archives,$(stands_coordinator))
	$(link)

# The client's own code, but for order.h's functions, which play_sites.c defines itself.
play_sites := $(BUILD)/tests/bench/play_sites
$(play_sites): libs = $(libs_of_client)
$(play_sites): $(BUILD)/obj/tests/bench/play_sites.o $(call archives,$(stands_client))
	$(link)
federation_bench := $(BUILD)/tests/bench/bench_federation $(play_sites)

# Floods a coordinator, for tests/e2e/long_flood.sh.
play_flood := $(BUILD)/tests/bench/play_flood
$(play_flood): libs = $(all_libs)
$(play_flood): $(BUILD)/obj/tests/bench/play_flood.o $(all_archives)
	$(link)

join_json = { echo '['; cat $(1) /dev/null | sed '$$!s/$$/,/'; echo ']'; }

.PHONY: bench benches bench-federation
benches: $(bench_programs) $(play_sites) $(play_flood)
bench-federation: deps
	$(Q)$(submake) all $(federation_bench)
	$(Q)mkdir -p out/bench.d
	$(Q)BUILD=$(abspath $(BUILD)) $(BUILD)/tests/bench/bench_federation out/bench.d/federation.json
	$(Q)cd out/bench.d && $(call join_json,federation.json) >../bench-federation.json
	@echo "figures: out/bench-federation.json"

bench: deps-bench
	$(Q)$(submake) all benches
	$(Q)rm -rf out/bench.d && mkdir -p out/bench.d
	$(Q)for b in $(bench_programs) $(wildcard tests/bench/bench_*.sh); do \
	    name=$${b##*/bench_}; \
	    BUILD=$(abspath $(BUILD)) $$b out/bench.d/$${name%.sh}.json || exit 1; \
	done
	$(Q)cd out/bench.d && \
	    $(call join_json,$$(ls | grep '\.json$$' | grep -v '^federation')) >../bench.json && \
	    $(call join_json,$$(ls | grep '^federation.*\.json$$')) >../bench-federation.json
	@echo "figures: out/bench.json out/bench-federation.json"

# --------------------------------------------------- demo, docs and install

.PHONY: demo docs install clean help
demo: deps
	$(Q)$(submake) all
	$(Q)BUILD=$(BUILD) sim/run.sh sim/scenarios/demo.yaml --out out/demo

docs: all
	$(Q)mkdir -p $(BUILD)/docs
	$(Q)for p in $(PROGRAMS); do \
	    $(BUILD)/bin/$$p --man >$(BUILD)/docs/consilium-$$p.1 || exit 1; \
	done
	$(Q)$(BUILD)/bin/coordinator keys >$(BUILD)/docs/job-keys.txt
	$(Q)$(BUILD)/bin/client keys >$(BUILD)/docs/dataset-keys.txt
	$(Q)$(BUILD)/bin/sim keys >$(BUILD)/docs/scenario-keys.txt
	@echo "written to $(BUILD)/docs"

install: docs
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system
	for p in $(PROGRAMS); do \
	    install -m 755 $(BUILD)/bin/$$p $(DESTDIR)$(PREFIX)/bin/consilium-$$p && \
	    install -m 644 $(BUILD)/docs/consilium-$$p.1 $(DESTDIR)$(PREFIX)/share/man/man1/ || exit 1; \
	done
	for unit in coordinator client; do \
	    sed 's,/usr/local/bin/,$(PREFIX)/bin/,' "systemd/consilium-$$unit@.service" \
	        >"$(DESTDIR)$(PREFIX)/lib/systemd/system/consilium-$$unit@.service" || exit 1; \
	done

clean:
	rm -rf $(BUILD)

help:
	@echo 'make             build coordinator, client and sim into build/bin'
	@echo 'make demo        install what is missing, build, play sim/scenarios/demo.yaml'
	@echo 'make check       install what is missing, build, run every test'
	@echo 'make check-unit  as check, without the tests that start real processes'
	@echo 'make check-long  as check, and the tests that take minutes'
	@echo 'make check-threads   ThreadSanitizer over the end-to-end tests (-short: a minute; THREADS_TESTS=...)'
	@echo 'make check-valgrind  memcheck over some tests (VALGRIND_TESTS=fed/test_msg ...)'
	@echo 'make chaos       break a federation on purpose: 500 faults, 140 runs (SEED=N: again)'
	@echo 'make bench       measure, beside PyTorch; writes out/bench.json (BENCH_FILTER=resnet)'
	@echo 'make bench-federation  rounds without training, beside Flower where it is installed'
	@echo 'make fuzz        fuzz every reader of outside bytes, FUZZ_SECONDS=300 each'
	@echo 'make docs        man pages and the reference of all keys, into build/docs'
	@echo 'make install     PREFIX=/usr/local DESTDIR='
	@echo 'make deps        install what building and running need (deps-check: tests too)'
	@echo 'make clean       remove build/'
	@echo
	@echo 'Settings: V=1 shows commands, DEV=1 makes warnings errors,'
	@echo 'SAN=address,undefined (or thread) builds with sanitizers beside build/,'
	@echo 'BUILD=DIR builds elsewhere; CFLAGS and LDFLAGS are added to ours.'

# Headers that each object was made from.
-include $(foreach f,$(FOLDERS) $(PROGRAMS),$(patsubst %.o,%.d,$(objects_$(f)) $(test_objects_$(f)))) \
    $(patsubst %.c,$(BUILD)/obj/%.d,$(wildcard tests/e2e/*.c tests/e2e/chaos/*.c tests/e2e/chaos/planted/*.c tests/fuzz/*.c tests/bench/*.c))
