# Thin: each target checks for what it needs, then calls cargo. The work itself is in `cargo xtask`.

PREFIX ?= /usr/local
DESTDIR ?=
NEED = ./scripts/need
# What a login shell of root or of a rustup user would find.
export PATH := $(PATH):/usr/sbin:/sbin:$(HOME)/.cargo/bin

# What each target needs, as program:package or /file:package.
BUILD = cc:gcc /usr/include/stdio.h:libc6-dev /etc/ssl/certs/ca-certificates.crt:ca-certificates
KERNEL = lists mkfs.ext4:e2fsprogs depmod:kmod dpkg-deb:dpkg
FILESYSTEM = lists mmdebstrap:mmdebstrap mkfs.ext4:e2fsprogs curl:curl
RUN = qemu-system-x86_64:qemu-system-x86 nft:nftables ip:iproute2 openssl:openssl git:git

.PHONY: help build demo test bench lint filesystem kernel install uninstall clean

help: ## This list.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: ## Build the program: build/flint.
	@$(NEED) cargo $(BUILD)
	cargo build --release --package flint
	mkdir -p build
	cp -f target/release/flint build/flint

demo: ## Run three jobs in three microVMs, without GitHub. SOURCE=scale-set: without webhooks too. As root.
	@$(NEED) cargo $(BUILD) $(KERNEL) $(FILESYSTEM) $(RUN)
	cargo xtask demo $(if $(SOURCE),-- --source $(SOURCE))

test: ## Run all tests that this machine can run. As root, to leave none out.
	@$(NEED) cargo $(BUILD) $(KERNEL) $(FILESYSTEM) $(RUN)
	@cargo xtask test

bench: ## Measure speed and sizes. As root.
	@$(NEED) cargo $(BUILD) $(KERNEL) $(FILESYSTEM) $(RUN)
	cargo xtask bench

lint: ## Check format, lints and the rules of the house.
	@$(NEED) cargo $(BUILD)
	cargo xtask lint

kernel: ## Make the guests' kernel: build/kernel/linux/.
	@$(NEED) cargo $(BUILD) $(KERNEL)
	cargo xtask kernel

filesystem: ## Make the guests' image: build/rootfs/rootfs.ext4. RUNNER_TARBALL=FILE takes GitHub's runner from there.
	@$(NEED) cargo $(BUILD) $(FILESYSTEM)
	cargo xtask filesystem

install: ## Put build/flint, a systemd unit and a sample configuration in place. As root, after `make build`.
	@test -x build/flint || { echo "build/flint is not there: run \`make build\` first"; exit 1; }
	install -D -m 0755 build/flint $(DESTDIR)$(PREFIX)/bin/flint
	install -D -m 0644 packaging/flint.service $(DESTDIR)/etc/systemd/system/flint.service
	sed -i 's|^ExecStart=[^ ]*|ExecStart=$(PREFIX)/bin/flint|' $(DESTDIR)/etc/systemd/system/flint.service
	install -D -m 0600 packaging/flint.toml $(DESTDIR)/etc/flint/flint.toml.sample
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl daemon-reload

uninstall: ## Remove what `install` put there; /etc/flint and /var/lib/flint stay. As root.
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl disable --now flint.service || true
	rm -f $(DESTDIR)$(PREFIX)/bin/flint $(DESTDIR)/etc/systemd/system/flint.service
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl daemon-reload

clean: ## Remove everything that was built.
	rm -rf target build
