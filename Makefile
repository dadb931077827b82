# Loom. `make` lists the targets; README.md names the two that matter: run and test.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MODULES := migrations pkg services/gateway services/recorder services/analytics services/dashboard cmd/loom bench
SERVICES := gateway recorder analytics dashboard
# What is tested with engines in containers, too.
CONTAINER_TESTS := ./pkg/testkit ./pkg/bus ./pkg/store/... ./services/recorder/... ./services/analytics/... ./services/dashboard/... \
	./services/gateway/internal/stored ./services/gateway/internal/publish
WEB     := services/dashboard/web/app
UI      := services/dashboard/web/dist/index.html
BIN     := bin
COMPOSE := docker compose -f deploy/compose/compose.yaml
TOOLS   := $(CURDIR)/.cache/tools
# Left empty outside a release; `loom version` then prints what Go knows.
VERSION ?=
LDFLAGS := $(if $(VERSION),-X main.version=$(VERSION))

GOLANGCI_LINT  := v2.15.0
BUF            := v1.75.0
PROTOC_GEN_GO  := v1.36.12
DOCKER_COMPOSE := v2.40.3

# A stray /.dockerenv makes the container library dial off the machine; see docs/testing.md.
export TESTCONTAINERS_HOST_OVERRIDE ?= 127.0.0.1
export TESTCONTAINERS_RYUK_DISABLED ?= true

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build everything and start Loom on this machine (Ctrl-C stops it).
	@exec $(BIN)/loom up $(ARGS)

.PHONY: build
build: web ## Build bin/loom and the four services.
	@mkdir -p $(BIN)
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/loom $(foreach s,$(SERVICES),./services/$(s)/cmd/$(s))

.PHONY: web
web: ## Build the dashboard's UI where node is present.
	@if command -v npm >/dev/null; then \
		$(MAKE) --no-print-directory $(UI); \
	else \
		echo "no npm here: the dashboard will serve a placeholder page, its API works all the same"; \
		[ -z "$${LOOM_REQUIRE_UI:-}" ]; \
	fi

$(UI): $(shell find $(WEB) -type f -not -path '*/node_modules/*' 2>/dev/null) services/dashboard/api/openapi.yaml
	npm --prefix $(WEB) ci --no-audit --no-fund --loglevel=error
	npm --prefix $(WEB) run build --silent

.PHONY: test
test: prepare ## Run every test on a real Postgres and a real JetStream.
	@test/engines.sh
	go test -timeout 10m $(TESTFLAGS) $(foreach m,$(MODULES),./$(m)/...)

.PHONY: test-containers
test-containers: ## Run the tests that use these engines with both in containers (PACKAGES=./pkg/bus).
	@test/containers.sh $(or $(PACKAGES),$(CONTAINER_TESTS))

.PHONY: prepare
prepare: # What tests need beyond Go: Postgres binaries, or another way to a Postgres.
	@test/prepare.sh

.PHONY: race
race: prepare ## Run every test under the race detector.
	go test -race -timeout 20m $(TESTFLAGS) $(foreach m,$(MODULES),./$(m)/...)

.PHONY: bench
bench: prepare ## Run the benchmarks (BENCH=regexp, COUNT=n).
	go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -count $(or $(COUNT),1) $(foreach m,$(MODULES),./$(m)/...)

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (default 30s) each.
	test/fuzz.sh $(or $(FUZZTIME),30s)

.PHONY: simulate
simulate: ## Run SCHEDULES (default 20000) simulated lives of the trace pipeline, from seed FROM.
	go test -timeout 0 -count=1 ./services/gateway/internal/simulation -run TestSimulation -v \
		-simulation.schedules=$(or $(SCHEDULES),20000) -simulation.from=$(or $(FROM),$$(date +%s)000)

.PHONY: seals
seals: ## Seal SEALS (10000000) bodies under one key: no IV comes twice.
	go test -timeout 0 -count=1 ./pkg/envelope -run TestIVsDoNotRepeat -v -seals=$(or $(SEALS),10000000)

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT) $(TOOLS)/buf-$(BUF) ## Lint Go and the event schema.
	$(TOOLS)/golangci-lint-$(GOLANGCI_LINT) run $(foreach m,$(MODULES),./$(m)/...)
	$(TOOLS)/buf-$(BUF) lint
	@# The schema may only grow: compared with how it was last released.
	$(TOOLS)/buf-$(BUF) breaking --against pkg/event/released.binpb

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT) ## Format the Go code.
	$(TOOLS)/golangci-lint-$(GOLANGCI_LINT) fmt $(foreach m,$(MODULES),./$(m)/...)

.PHONY: tidy
tidy: ## Bring every go.mod in line.
	go work sync
	for m in $(MODULES); do (cd $$m && go mod tidy); done

.PHONY: isolated
isolated: ## Build and vet each module alone, as a Docker build does.
	@for m in $(MODULES); do echo "$$m"; (cd $$m && GOWORK=off go build ./... && GOWORK=off go vet ./...); done
	go vet -tags faultpoints ./pkg/... ./services/gateway/... ./services/recorder/... ./services/analytics/...

.PHONY: generate
generate: $(TOOLS)/buf-$(BUF) $(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO) ## Generate code and reference pages.
	mkdir -p $(TOOLS)/path && ln -sf $(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO) $(TOOLS)/path/protoc-gen-go
	PATH="$(TOOLS)/path:$$PATH" $(TOOLS)/buf-$(BUF) generate
	go run ./cmd/loom config > docs/config.md
	@if command -v npm >/dev/null; then [ -d $(WEB)/node_modules ] || npm --prefix $(WEB) ci --no-audit --no-fund --loglevel=error; npm --prefix $(WEB) run generate --silent; fi

.PHONY: verify
verify: generate tidy ## Fail if generated files or go.mod files are not up to date.
	@git diff --exit-code --stat -- . || { echo "generated files or go.mod files are out of date: run make generate tidy and commit"; exit 1; }

.PHONY: e2e
e2e: build ## Drive the built binary with the official SDKs.
	test/e2e.sh sdk

.PHONY: e2e-ui
e2e-ui: build $(BIN)/seed ## Drive the dashboard's pages with a real browser (LOOM_SCREENSHOTS=DIR keeps pictures).
	test/e2e.sh ui

.PHONY: pictures
pictures: build $(BIN)/seed ## Take the pictures of docs/dashboard.md anew.
	test/e2e.sh pictures

.PHONY: conformance
conformance: build ## Drive the built binary with official clients against scripted providers (FILES='d-*.test.mjs').
	@command -v npm >/dev/null || { echo "the conformance run needs node 20 or newer with npm" >&2; exit 1; }
	npm --prefix test/conformance ci --no-audit --no-fund --loglevel=error
	@cd test/conformance && node run.mjs $(FILES)

.PHONY: chaos
chaos: $(BIN)/chaos ## Kill Loom's processes under load and judge what is left (ARGS=-seed=7).
	$(BIN)/chaos -short $(ARGS)

.PHONY: chaos-points
chaos-points: $(BIN)/chaos ## Have processes die POINTS (50) times at each fault point.
	$(BIN)/chaos -points $(or $(POINTS),50) $(ARGS)

.PHONY: chaos-outage
chaos-outage: $(BIN)/chaos ## Postgres, then the broker, away for a minute under load (OUTAGE=postgres).
	for kind in $(or $(OUTAGE),postgres nats); do $(BIN)/chaos -outage $$kind $(ARGS); done

.PHONY: chaos-rotate
chaos-rotate: $(BIN)/chaos ## Replace the master key under load, and view bodies meanwhile.
	$(BIN)/chaos -rotate $(ARGS)

.PHONY: chaos-long
chaos-long: $(BIN)/chaos ## As chaos, with 1,000,000 requests, 200 kills and 20 outages.
	$(BIN)/chaos -long $(ARGS)

.PHONY: $(BIN)/chaos
$(BIN)/chaos: prepare
	@mkdir -p $(BIN) && go build -o $@ ./bench/cmd/chaos

.PHONY: start
start: build ## As run, but in the background; its log is .loom/up.log.
	@mkdir -p .loom && chmod 711 .loom
	@umask 077; nohup $(BIN)/loom up $(ARGS) >.loom/up.log 2>&1 & echo $$! >.loom/up.pid
	@for _ in $$(seq 150); do \
		if grep -q '^  Dashboard' .loom/up.log; then cat .loom/up.log; exit 0; fi; \
		kill -0 "$$(cat .loom/up.pid)" 2>/dev/null || break; sleep 0.2; \
	done; cat .loom/up.log; exit 1

.PHONY: stop
stop: ## Stop what `make start` started.
	@[ -f .loom/up.pid ] || { echo "nothing that make start started"; exit 1; }
	@kill -INT "$$(cat .loom/up.pid)" 2>/dev/null || true
	@for _ in $$(seq 50); do kill -0 "$$(cat .loom/up.pid)" 2>/dev/null || break; sleep 0.2; done
	@rm -f .loom/up.pid

.PHONY: seed
seed: $(BIN)/seed ## Fill what `make start` started with a month of made-up traffic (ARGS='-n 500').
	$(BIN)/seed $(ARGS)

.PHONY: bench-queries
bench-queries: prepare $(BIN)/queries ## Time the dashboard's API on FACTS (10000000) requests.
	$(BIN)/queries -facts $(or $(FACTS),10000000) $(ARGS)

.PHONY: $(BIN)/seed $(BIN)/queries
$(BIN)/seed $(BIN)/queries:
	@mkdir -p $(BIN) && go build -o $@ ./bench/cmd/$(@F)

.PHONY: secrets
secrets: ## Make the passwords and keys of `make up`, once.
	@deploy/compose/secrets.sh deploy/compose/secrets

.PHONY: images
images: ## Build the container images.
	$(COMPOSE) build

.PHONY: up
up: ## Run Loom in containers, each service apart; needs Docker and nothing else.
	@$(COMPOSE) up -d --wait $(ARGS) || { $(COMPOSE) logs --tail 5; exit 1; }
	@$(COMPOSE) logs --no-log-prefix --since 1m welcome

.PHONY: down
down: ## Stop the containers; what they have stored stays.
	$(COMPOSE) down

.PHONY: e2e-compose
e2e-compose: ## Drive the containers: replicas killed and rolled, Postgres and NATS away.
	test/e2e-compose.sh

.PHONY: e2e-compose-long
e2e-compose-long: ## As e2e-compose, with every process killed at random, outages of a minute, all restarted (SEED=n).
	test/e2e-compose.sh long

.PHONY: e2e-compose-cluster
e2e-compose-cluster: ## As e2e-compose, with three NATS servers whose leaders are killed.
	test/e2e-compose.sh cluster

.PHONY: compose-plugin
compose-plugin: $(TOOLS)/docker-compose-$(DOCKER_COMPOSE) # For an engine that comes without it.

.PHONY: clean
clean: ## Remove what was built; data under .loom stays.
	rm -rf $(BIN) $(TOOLS) services/dashboard/web/dist/* $(WEB)/node_modules

$(TOOLS)/golangci-lint-$(GOLANGCI_LINT):
	$(call tool,$@,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT))
$(TOOLS)/buf-$(BUF):
	$(call tool,$@,github.com/bufbuild/buf/cmd/buf@$(BUF))
$(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO):
	$(call tool,$@,google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO))

$(TOOLS)/docker-compose-$(DOCKER_COMPOSE):
	$(call tool,$@,github.com/docker/compose/v2/cmd@$(DOCKER_COMPOSE))

# tool builds a pinned command outside the workspace, whose go.mod files it must not touch.
define tool
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS)/new GOFLAGS= go install $(2)
	@mv $(TOOLS)/new/* $(1) && rmdir $(TOOLS)/new
endef
