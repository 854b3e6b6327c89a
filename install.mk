# Manual pages, make install and a Debian package.
#
# PREFIX=DIR    make install puts the files below DIR, /usr/local without it
# DESTDIR=DIR   as if DIR were the root of the system, for those who make packages

PREFIX  ?= /usr/local
DESTDIR ?=

.PHONY: man install uninstall deb

# The table of Wyrcan's arguments is in a document: wyrcan.cmdline.7 is made of it.
ARGUMENTS = $(firstword $(shell grep -l '^| argument | meaning |$$' README.md docs/*.md))
man: $O/man/wyrcan.1
$O/man/wyrcan.1: $(SOURCES) $(wildcard README.md docs/*.md tools/man/*.go) $O/version
	rm -rf $(@D)
	go run ./cmds/wyrcan __describe | go run ./tools/man -arguments $(ARGUMENTS) -version '$(VERSION)' \
	  -date '$(SOURCE_DATE_EPOCH)' -o $(@D)

# These build nothing: root, who installs, may not have what builds, and git tells root nothing of the user's tree.
install:
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' tools/install $O
uninstall:
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' tools/install -u $O

deb: all man $O/wyrcan.demo
	SECUREBOOT='$(SECUREBOOT)' tools/deb $O $(ARCH) '$(VERSION)'
