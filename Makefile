# What a developer does here. Everything is done by scripts/; each of them says nothing when nothing is to be done.
.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\#.*/\1/p' Makefile)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

setup: ## install what building and testing need (Debian and npm packages)
	@scripts/setup.sh

build: setup ## dist/ovm, one file that needs neither Node nor Bun; packages/client/dist and ovms-conformance for Node
	@scripts/build.sh
	@scripts/build-client.sh
	@scripts/build-conformance.sh

# The Debian server is made by the first test that needs it, while others run.
test: setup ## all tests; ends with the number of passed, failed and skipped ones
	@$(MAKE) --no-print-directory -j3 build peers machine
	@OVM_BIN=$(CURDIR)/dist/ovm node_modules/.bin/bun scripts/test.ts $(TESTS)

demo: build machine ## from files to a running machine, by way of a registry
	@scripts/demo.sh

demo-snapshot: build machine ## a running machine through a registry, and three clones of it that go on from one point
	@scripts/demo-snapshot.sh

demo-sandbox: build machine ## ten commands, each in a machine of its own out of one snapshot, and what each took
	@scripts/demo-sandbox.sh

demo-build: build machine ## from a container image and a Dockerfile to a running machine, by way of a registry
	@scripts/demo-build.sh

fuzz: setup ## the agent's readers by libFuzzer, for FUZZ seconds (60); KEEP=1 keeps what reaches something new
	@scripts/fuzz.sh

conformance: build ## hold ovm against the conformance suite, or SUBJECT alone; reports in .cache/conformance
	@scripts/conformance.sh $(CONFORMANCE)

check: setup ## format, lint, types, width of comments, import directions, generated files
	@scripts/check.sh

generate: setup ## write the generated files anew
	@node_modules/.bin/bun scripts/generate.ts

docs: setup ## guides, reference and specification as a site that needs no server, into dist/site
	@node_modules/.bin/bun scripts/site/site.ts

spec-html: setup ## the specification as one page, into dist/site/spec.html
	@node_modules/.bin/bun scripts/site/site.ts --spec

format: setup ## put the sources into the common format
	@node_modules/.bin/biome check --write

peers: setup ## the programs that tests hold ovm against, into .cache/peers
	@scripts/peers.sh

machine: setup ## the demo machine, into .cache/machine
	@scripts/machine.sh

server: setup ## a Debian server with GRUB, sshd and cloud-init, into .cache/server; only root can make it
	@scripts/server.sh

bench-startup: build peers machine ## how fast ovm starts, beside oras, crane and skopeo
	@node_modules/.bin/bun bench/startup.ts

bench-boot: build machine ## how fast a machine starts, beside the same QEMU by hand; the daemon's memory
	@node_modules/.bin/bun bench/boot.ts

bench-registry: build peers ## how fast a gigabyte goes from and to a registry, over TLS and without, beside oras, crane, regctl and skopeo
	@node_modules/.bin/bun bench/registry.ts $(BENCH)

bench-sparse: build ## how fast a disk of holes is packed, beside sha256sum and cp
	@node_modules/.bin/bun bench/sparse.ts $(BENCH)

bench-import: build ## how long a qcow2 of 2 GiB is imported, beside qemu-img convert
	@node_modules/.bin/bun bench/import.ts $(BENCH)

bench-import-image: build machine ## how long a container image becomes a machine, beside skopeo, tar and mke2fs -d
	@node_modules/.bin/bun bench/import-image.ts $(BENCH)

bench-build: build machine ## what a build costs beside the registry's answer, and beside its last step in a machine that runs
	@node_modules/.bin/bun bench/build.ts $(BENCH)

bench-discover: build peers machine ## how fast a thousand signatures are shown and judged, beside cosign and oras
	@node_modules/.bin/bun bench/discover.ts $(BENCH)

bench-throughput: build ## how many clones of a snapshot a second, twenty at a time, by slot and without, beside the same by hand
	@node_modules/.bin/bun bench/throughput.ts

bench-fork: build ## how long a fork of twenty takes, beside a snapshot's pause and twenty starts by hand
	@node_modules/.bin/bun bench/fork.ts

bench-network: build machine ## what the filter of a machine's network costs, beside passt alone
	@node_modules/.bin/bun bench/network.ts

bench-adopt: build ## how soon a daemon that was killed has its fifty machines again, beside their monitors by hand
	@node_modules/.bin/bun bench/adopt.ts $(BENCH)

bench-machine: build machine ## what a machine's ports, disk, console and second life cost, beside the same by hand; two hundred of them
	@for part in lives flushes ports console many; do node_modules/.bin/bun bench/$$part.ts || exit 1; done

bench-cycles: build ## what 300 starts and stops leave behind: memory, descriptors, threads, files, processes
	@node_modules/.bin/bun bench/cycles.ts

bench-vmm: build ## what an adapter outside of the program costs a start, and Firecracker beside the same by hand: time and memory
	@node_modules/.bin/bun bench/vmm.ts
	@node_modules/.bin/bun bench/firecracker.ts
	@node_modules/.bin/bun bench/firecracker-memory.ts

bench-documents: setup ## how long the schemas of the specification take over ten thousand documents
	@node_modules/.bin/bun bench/documents.ts

bench-inside: build machine ## what commands, copies and sandboxes cost beside the bare channel to the agent; BENCH="1800 256" for half an hour, and copies of 256 MiB
	@node_modules/.bin/bun bench/inside.ts $(BENCH)

bench-shares: build peers machine ## a folder of the host in a guest, by virtiofs and by 9p; BENCH="64 1000 3" for MiB, files and rounds
	@node_modules/.bin/bun bench/shares.ts $(BENCH)

bench-ram: build ## how fast RAM is compressed and inflated, beside zstd and lz4
	@node_modules/.bin/bun bench/ram.ts

bench-restore: build peers machine ## how fast a snapshot runs, by slot, without one and out of a registry; what clones cost
	@node_modules/.bin/bun bench/restore.ts
	@node_modules/.bin/bun bench/clones.ts

bench-verify: build peers ## how fast a signature is verified, beside cosign; what a policy costs at a start
	@node_modules/.bin/bun bench/verify.ts
	@node_modules/.bin/bun bench/policy.ts

bench-snapshot: build machine ## how long a snapshot stops a machine, beside the same QMP by hand
	@node_modules/.bin/bun bench/snapshot.ts

clean: ## remove what was built, the cache too
	rm -rf dist .cache node_modules packages/*/dist packages/*/node_modules scripts/node_modules
