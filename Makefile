# One target for each thing a developer does; CI calls the same ones.
GO ?= go
FUZZTIME ?= 20s
BENCH ?= .
TIME ?= 10m
PKG ?= ./...
# The race detector, but not in the passes of wazero's compiler, which share nothing and are six times slower with it.
WAZEVO = github.com/tetratelabs/wazero/internal/engine/wazevo
RACE ?= -race $(foreach passes,ssa frontend backend/...,-gcflags=$(WAZEVO)/$(passes)=-race=false)

.DEFAULT_GOAL := help
.PHONY: help build tools test demo bench microbench fuzz fuzz-rules filters verify-filters clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/meshc, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/meshc ./cmd/meshc

tools: ## fetch the pinned Envoy and kubectl into .tools/
	@.ci/tools

test: tools ## vet, check the formatting, run every test with the race detector (PKG=./some/... for a part)
	@unformatted=$$(gofmt -l $(wildcard */)); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet $(PKG)
	$(GO) test -run '^TestNoAllocation' ./runtime/proxy # not with the race detector, which empties pools at random
	@.ci/check $(GO) test $(RACE) -timeout 30m -json $(PKG)

demo: build tools ## serve an example, edit a file, watch traffic move in the built-in proxy and in Envoy
	@$(GO) run ./examples/demo -meshc bin/meshc -envoy .tools/envoy -mesh examples/mesh

bench: build tools .tools/kubeconform ## documents per second beside plain CUE and kubeconform, filters beside Envoy
	@$(GO) run ./cmd/meshc/internal/bench -meshc bin/meshc -kubeconform .tools/kubeconform -envoy .tools/envoy
	@echo; echo "The verdict alone, on parsed documents of every kind:"
	@$(GO) test -run '^$$' -bench '^BenchmarkVerdict$$' -benchtime 300x ./schema/internal/plan | grep ns/doc
	@echo; echo "Compiling 1,000 and 10,000 services with 1,000 policies, and again after one document changed:"
	@$(GO) test -run '^$$' -bench '^BenchmarkPolicies$$' -benchtime 5x ./compiler | awk '/^Benchmark/ { \
		name = $$1; sub(/^BenchmarkPolicies./, "", name); sub(/-[0-9]+$$/, "", name); split("", m); \
		for (i = 3; i < NF; i += 2) m[$$(i+1)] = $$i; \
		if ("MB-kept" in m) printf "%-42s %8.1f MB held by the compiler and its snapshot\n", name, m["MB-kept"]; \
		else printf "%-42s %8.1f ms, %8.1f ms of CPU, %6.1f MB allocated\n", name, m["ns/op"]/1e6, m["cpu-ms/op"], m["B/op"]/1e6 }'

.tools/kubeconform: .ci/kubeconform/go.mod .ci/kubeconform/go.sum
	$(GO) build -C .ci/kubeconform -trimpath -o $(CURDIR)/.tools/kubeconform github.com/yannh/kubeconform/cmd/kubeconform

microbench: ## run the benchmarks of the packages (BENCH=regexp, PKG=./some/...)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

fuzz-rules: ## compare the rules compiled with the rules in CUE for TIME, 10m unless given
	$(GO) test -count 1 -timeout 0 -run '^TestSameAsCUE$$' -v ./schema/internal/plan -for $(TIME) -seed $$(date +%s)

fuzz: ## run each fuzz target for FUZZTIME
	@for package in $$($(GO) list $(PKG)); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

filters: ## build the committed filters that are not in Go anew, from their sources
	@.ci/filters --update

verify-filters: ## check that the committed filters are what their sources build
	@.ci/filters

clean: ## remove what was built and fetched
	rm -rf bin .tools
