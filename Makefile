# make nightly   take the reference distribution from source to a tested, promoted payload;
#                PROFILE=single upgrades one node in place of three control planes and two workers
# make test      every test, with real clusters; make lint, make bench, make fuzz, make build
SHELL := /bin/bash
PROFILE ?= ha
BIN := bin/slipway
SOURCES := $(wildcard $(shell git ls-files -co --exclude-standard -- '*.go' '*.yaml' '*.tmpl' '*.html' '*.sh' '*.pl' go.mod go.sum distros pipelines))
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The same source makes the same binary in any folder, so that the slipway
# image, which holds it, has the same digest everywhere.
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w'

.PHONY: nightly test build kms bench lint fuzz generate clean

nightly: build
	$(BIN) nightly --profile $(PROFILE)

build: $(BIN)

$(BIN): $(SOURCES)
	$(BUILD) -o $@ ./cmd/slipway

# The plugin that signs with keys in services, under the names it is looked for by.
KMS := awskms azurekms gcpkms hashivault
kms:
	$(BUILD) -o bin/slipway-kms ./cmd/slipway-kms
	for name in $(KMS); do ln -sf slipway-kms bin/sigstore-kms-$$name; done

# Tests with clusters come last and one after another: they measure, and two
# clusters at a time would measure each other.
test: build
	$(BIN) host prepare --tests
	go test -race -timeout 30m -skip '^TestIntegration' ./...
	go test -timeout 60m -p 1 -run '^TestIntegration' ./...

bench: build
	$(BIN) host prepare
	go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./...

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt-ed: $$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...

# As many targets side by side as there are processors, each with one worker. Left alone,
# the fuzzer spends its time on making long inputs shorter.
FUZZTIME ?= 1m
FUZZ := go test -run ^$$ -parallel 1 -fuzztime $(FUZZTIME) -fuzzminimizetime 5s
fuzz:
	@set -e -o pipefail; for pkg in $$(go list ./...); do \
	  go test -list '^Fuzz' $$pkg | sed -n "s|^Fuzz.*|$$pkg &|p"; \
	done | xargs -P $$(nproc) -L 1 bash -c \
	  'if out=$$($(FUZZ) -fuzz "^$$1\$$" "$$0" 2>&1); then echo "ok   $$0 $$1 $$(grep elapsed <<<"$$out" | tail -n 1)"; \
	   else echo "$$out"; echo "FAIL $$0 $$1"; exit 1; fi'

generate: build
	rm -rf docs/commands && mkdir -p docs/commands
	$(BIN) docs --dir docs/commands

clean:
	rm -rf bin
