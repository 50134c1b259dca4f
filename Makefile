# One target for each thing a developer does; CI calls the same ones.
GO ?= go
FUZZTIME ?= 20s
BENCH ?= .
PKG ?= ./...

.DEFAULT_GOAL := help
.PHONY: help build tools test demo bench fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/meshc, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/meshc ./cmd/meshc

tools: ## fetch the pinned Envoy and kubectl into .tools/
	@.ci/tools

test: tools ## vet, check the formatting, run every test with the race detector (PKG=./some/... for a part)
	@unformatted=$$(gofmt -l $(wildcard */)); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet $(PKG)
	@.ci/check $(GO) test -race -json $(PKG)

demo: build tools ## serve an example, edit a file, watch traffic move in the built-in proxy and in Envoy
	@$(GO) run ./examples/demo -meshc bin/meshc -envoy .tools/envoy -mesh examples/mesh

bench: ## run the benchmarks (BENCH=regexp, PKG=./some/...)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

fuzz: ## run each fuzz target for FUZZTIME
	@for package in $$($(GO) list $(PKG)); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

clean: ## remove what was built and fetched
	rm -rf bin .tools
