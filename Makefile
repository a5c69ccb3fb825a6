# Everything that CI does can be done here. "make help" lists the targets.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
BIN      ?= bin
TOOLS    := $(CURDIR)/$(BIN)/tools
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
export CGO_ENABLED ?= 0

## build: the program, static, in bin/
.PHONY: build
build:
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/secondline ./cmd/secondline

## test: vet and all tests; needs neither root nor the network. As root on Debian also the lab, whose base image takes minutes once
.PHONY: test
test:
	$(GO) vet ./...
	$(GO) test -timeout 30m ./...

## race: all tests under the race detector, in random order; needs a C compiler
.PHONY: race
race:
	CGO_ENABLED=1 $(GO) test -race -shuffle=on ./...

## check: what CI checks: format, linters, vet, race, tidy, generated code
.PHONY: check
check: lint race tidy generate

## lint: gofumpt and golangci-lint, in the versions of internal/tools
.PHONY: lint
lint: $(TOOLS)/golangci-lint
	$(TOOLS)/golangci-lint config verify
	$(TOOLS)/golangci-lint run ./...

## format: rewrite the code as lint wants it
.PHONY: format
format: $(TOOLS)/golangci-lint
	$(TOOLS)/golangci-lint fmt

## tidy: fail if go.mod or go.sum is not as "go mod tidy" leaves it
.PHONY: tidy
tidy:
	$(GO) mod tidy -diff
	$(GO) mod verify

## generate: fail if committed generated code is not what the generators make; needs protoc
.PHONY: generate
generate: $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc
	PATH="$(TOOLS):$$PATH" $(GO) generate ./...
	git diff --exit-code -- '*.pb.go'

## fuzz: every fuzz target for FUZZTIME (10s), one after the other
.PHONY: fuzz
fuzz:
	$(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}} {{.ImportPath}}{{end}}' ./... | while read -r dir pkg; do \
		{ grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$$dir"/*_test.go || true; } | sed 's/^func //' | sort -u | while read -r target; do \
			echo "== $$pkg $$target"; \
			$(GO) test "$$pkg" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) </dev/null; \
		done; \
	done

## bench: the numbers of docs/benchmarks.md: intake beside Alertmanager, alert to first command, a thousand runbooks, steps over SSH, SSH beside ssh, clush and ansible, logs, root causes in metrics
.PHONY: bench
bench: bench-logs bench-rca
	$(GO) test -run '^$$' -bench . -timeout 20m ./controller/intake/intakebench
	$(GO) test -run '^$$' -bench AlertToFirstCommand -benchtime 200x -timeout 20m ./cmd/secondline
	$(GO) test -run '^$$' -bench Thousand -benchtime 5x -timeout 20m ./runbooks
	$(GO) test -run '^$$' -bench StepsOverSSH -benchtime 5x -timeout 20m ./agent
	$(GO) run ./internal/remote/ssh/fanoutbench

## bench-logs: how well log lines are grouped beside the published Drain, and how fast; needs the archive of loghub-2k (SECONDLINE_LOGHUB=FILE)
.PHONY: bench-logs
bench-logs:
	$(GO) test -count=1 -v -run TestGroupsLoghub ./diagnostics/logs
	$(GO) test -run '^$$' -bench . ./diagnostics/logs

## bench-rca: where the trouble began, from metrics: PetShop by split beside its published baseline (SECONDLINE_PETSHOP=FILE), generated cases beside BARO and NSigma, and how fast
.PHONY: bench-rca
bench-rca:
	$(GO) test -run '^$$' -bench RootCause -benchtime 1x -timeout 20m ./diagnostics/metrics
	$(GO) test -run '^$$' -bench Analyse -benchtime 20x ./diagnostics/metrics

## lab: boot the lab's company of eight servers and leave it running; needs root and Debian
.PHONY: lab
lab:
	$(GO) run ./examples/lab up

## lab-fault: break it: F= names the fault, without it they are listed; H= another host
.PHONY: lab-fault
lab-fault:
	$(GO) run ./examples/lab fault $(F) $(if $(H),--host $(H))

## lab-status: hosts, alerts and incidents of the lab
.PHONY: lab-status
lab-status:
	$(GO) run ./examples/lab status

## lab-heal: put right what was broken
.PHONY: lab-heal
lab-heal:
	$(GO) run ./examples/lab heal

## lab-down: end the lab and leave nothing of it
.PHONY: lab-down
lab-down:
	$(GO) run ./examples/lab down

## lab-bench: HostRCA-bench on all faults, or on F=; goes on where it was interrupted
.PHONY: lab-bench
lab-bench:
	$(GO) run ./examples/lab bench $(F)

## lab-cures: mend the faults that name cures, or F=, with shipped runbooks as a person would, and see that they are gone
.PHONY: lab-cures
lab-cures:
	$(GO) run ./examples/lab cures $(F)

## stories: the end-to-end tests on real servers; need what lab needs
.PHONY: stories
stories:
	SECONDLINE_REQUIRE_REAL=1 $(GO) test -count=1 -timeout 30m -v -run 'Stor' ./examples/lab/stories

## kills: SIGKILL of controller and agent at 30 random moments of two stories, on this machine and over SSH; needs what lab needs; SEED= repeats one
.PHONY: kills
kills:
	SECONDLINE_REQUIRE_REAL=1 SECONDLINE_KILLS=30 SECONDLINE_SEED=$(SEED) $(GO) test -count=1 -timeout 60m -v -run TestKills ./examples/lab/stories

## clean: remove what was built
.PHONY: clean
clean:
	rm -rf $(BIN)

## help: this list
.PHONY: help
help:
	@sed -nE 's/^## ([a-z-]+): (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

$(TOOLS)/golangci-lint: PKG = github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/protoc-gen-go: PKG = google.golang.org/protobuf/cmd/protoc-gen-go
$(TOOLS)/protoc-gen-go-grpc: PKG = google.golang.org/grpc/cmd/protoc-gen-go-grpc
$(TOOLS)/%: internal/tools/go.mod
	cd internal/tools && CGO_ENABLED=0 $(GO) build -o $@ $(PKG)
