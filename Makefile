# Facteur: `make run` to try it, `make test` before a change is shared. `make help` lists the rest.
export PATH := $(PATH):$(HOME)/.cargo/bin

# The development profile builds fastest and is what the tests use; `make run PROFILE=release` for speed. The packages and
# the bench have the programs of the profile `shipped`, which takes half as long again to build.
PROFILE ?= dev
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
# Extra words for `facteur try`, such as: make run TRY="--port-base 3000"
TRY ?=
# Extra words for `tests/lab/run`, such as: make lab LAB="--short a"
LAB ?=

.PHONY: help build run test unit flow lint lint-deps format sample man powercut netem bench fault fuzz deb lab

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

build: ## build all programs
	@tests/needs run
	@cargo build --workspace --bins --locked --profile $(PROFILE)

run: build ## build everything and run it in var/try, without being root
	@exec $(BIN)/facteur try $(TRY)

test: unit flow ## all tests that need no root

unit: ## tests of the crates
	@tests/needs test
	@if command -v cargo-nextest >/dev/null; then cargo nextest run --workspace --locked; \
	 else cargo test --workspace --locked --quiet; fi

flow: build ## tests of the built programs
	@tests/needs test
	@for test in $(filter-out %/facteur.py %/nameserver.py %/nexthop.py,$(wildcard tests/flow/*.py)); do \
	 QUIET=1 PYTHONDONTWRITEBYTECODE=1 FACTEUR_BIN=$(abspath $(BIN)) python3 $$test || exit 1; done

lint: lint-deps ## format, clippy, arrows between crates, sizes, settings, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	tests/lint/arrows
	tests/lint/sizes
	tests/lint/settings

lint-deps:
	@if command -v cargo-deny >/dev/null; then cargo deny --offline --log-level error check bans licenses sources; \
	 else tests/lint/licences; fi

format: ## format the code
	cargo fmt --all

sample: ## make etc/facteur.yaml again from the parameter table
	UPDATE_SAMPLE=1 cargo test --quiet -p config the_sample_in_etc

man: build ## the manual pages in target/man
	@mkdir -p $(TARGET)/man && cp docs/man/*.[1-8] $(TARGET)/man/
	@$(BIN)/facteur config manual >$(TARGET)/man/facteur.yaml.5

deb: ## make the Debian packages, in target/debian
	@packaging/build-deb

lab: deb ## boot real Debians, install the packages, do the labs (as root)
	@tests/needs lab
	@tests/lab/run $(LAB)

powercut: ## cut the power of a small kernel again and again and count the mail
	tests/powercut/run

netem: ## relay over a network that loses, delays and cuts, in a small kernel
	tests/netem/run

bench: ## measure against Postfix on this machine
	cargo build --workspace --bins --locked --profile shipped
	tests/bench/run

fault: ## fail each system call once
	tests/fault/run

fuzz: ## a short run of each fuzz target
	tests/fuzz-short
