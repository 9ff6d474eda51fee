# klein's commands for people. Each target installs what it needs; `make help` lists them. Meson does the building.
#
#   build/klein       the program            build/release  build-asan  build-fuzz    Meson's folders
#   build/tools/      kubectl and helm       build/stamps/                            what was installed
NAME ?= klein
T ?=
SECONDS ?= 30
SANITIZE ?= address,undefined
JOBS ?= $(shell nproc)

STAMPS := build/stamps

SEEDS ?= 1000
FIRST ?= 1
RUNS ?= 3000
DEATHS ?= 50
MUTANT ?=

.PHONY: all klein deps tools up down test unit sim crash check format fuzz bench help clean
.DEFAULT_GOAL := all

all: klein

klein: build/release/build.ninja  ## build build/klein (the default)
	@ninja -C build/release -j $(JOBS) src/klein samples/web samples/writer
	@install -m 755 build/release/src/klein build/.klein && mv build/.klein build/klein

deps: $(STAMPS)/packages  ## install the Debian packages of scripts/packages

$(STAMPS)/packages: scripts/packages scripts/install-packages
	@scripts/install-packages
	@mkdir -p $(@D) && touch $@

tools: $(STAMPS)/packages  ## fetch kubectl 1.20, kubectl 1.34 and helm into build/tools
	@scripts/install-kubectl

build/release/build.ninja: | $(STAMPS)/packages
	@CC=gcc meson setup build/release --buildtype=debugoptimized

build-asan/build.ninja: | $(STAMPS)/packages
	@CC=clang meson setup build-asan --buildtype=debugoptimized -Db_sanitize=$(SANITIZE)

build-fuzz/build.ninja: | $(STAMPS)/packages
	@CC=clang meson setup build-fuzz --buildtype=debugoptimized -Db_sanitize=$(SANITIZE) -Dfuzz=true

up: klein  ## start the cluster NAME, with the sample service
	@build/klein up --name $(NAME)
	@scripts/sample $(NAME) build/release/samples/web

down:  ## remove the cluster NAME, also when half of it is missing
	@test ! -x build/klein || build/klein down --name $(NAME)

test: $(STAMPS)/packages  ## everything: check, unit tests and scenarios under sanitizers, end to end
	@SANITIZE=$(SANITIZE) JOBS=$(JOBS) scripts/test

unit: build-asan/build.ninja  ## unit tests and scenarios under sanitizers; T=SUITE for one folder
	@ninja -C build-asan -j $(JOBS)
	@meson test -C build-asan --no-rebuild --print-errorlogs $(if $(T),--suite $(T))

build/sim/build.ninja: | $(STAMPS)/packages
	@CC=gcc meson setup build/sim --buildtype=debugoptimized -Dtest_points=true

sim: build/sim/build.ninja  ## simulated lives from seeds: make sim SEEDS=1000 FIRST=1 (MUTANT=NAME plants a known bug)
	@ninja -C build/sim -j $(JOBS) --quiet tests/sim/sim
	@build/sim/tests/sim/sim --seeds $(SEEDS) --first $(FIRST) --jobs $(JOBS) $(if $(MUTANT),--mutant $(MUTANT))

crash: build/sim/build.ninja  ## kill -9 at every named point of the write path, and of etcd at any moment: make crash RUNS=3000 DEATHS=50
	@ninja -C build/sim -j $(JOBS) --quiet tests/crash/crash_sqlite tests/crash/crash_etcd tests/crash/crash_etcd_points
	@build/sim/tests/crash/crash_sqlite --runs $(RUNS)
	@KLEIN_CRASH_RUNS=$(DEATHS) build/sim/tests/crash/crash_etcd
	@KLEIN_CRASH_RUNS=$(DEATHS) build/sim/tests/crash/crash_etcd_points

check: $(STAMPS)/packages  ## layers, format, banned calls, sizes, links: what a machine can review
	@scripts/check

format: $(STAMPS)/packages  ## clang-format over the sources
	@scripts/check --format

fuzz: build-fuzz/build.ninja  ## search for inputs that break a parser: make fuzz T=text SECONDS=30
	@scripts/fuzz "$(T)" "$(SECONDS)"

bench: build/release/build.ninja  ## the figures, next to Kubernetes' own
	@ninja -C build/release -j $(JOBS)
	@meson test -C build/release --no-rebuild --benchmark --verbose --num-processes 1

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

clean:  ## remove what was built; fetched tools stay
	@rm -rf build/release build/sim build/klein build-asan build-fuzz
