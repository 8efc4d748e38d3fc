# How a layer of third-party code is made; included by layers/*/Makefile, whose target SAM calls.
# SAM runs a Makefile from a scratch copy of its folder, but names it by its real path, so paths start from there.
#
#   ARTIFACTS_DIR   where the layer goes (SAM sets it)
#   LOCAL=1         build for PYTHON and this machine; the default is Lambda: python3.13 on x86_64, from any machine
#   PYTHON          runs pip and builds the model; the project's virtual environment, if there is one
#   BUILD           where downloads and the model are kept between builds
HERE := $(patsubst %/,%,$(dir $(abspath $(firstword $(MAKEFILE_LIST)))))
ROOT := $(abspath $(HERE)/../..)
BUILD ?= $(ROOT)/.build
PYTHON ?= $(firstword $(wildcard $(ROOT)/.venv/bin/python) python3)

ifndef ARTIFACTS_DIR
$(error ARTIFACTS_DIR is not set: where should the layer go?)
endif

# pip does not widen --platform to older glibc versions by itself, so every tag a pinned wheel uses is named.
LAMBDA_PLATFORMS := manylinux2014_x86_64 manylinux_2_17_x86_64 manylinux_2_27_x86_64 manylinux_2_28_x86_64

ifeq ($(LOCAL),1)
TARGET := $(shell $(PYTHON) -c 'import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform(), sep="-")')
COMPILER := $(PYTHON)
SITE_AT_RUN_TIME := $(ARTIFACTS_DIR)/python
else
TARGET := lambda-3.13-x86_64
WHEELS := --implementation cp --python-version 3.13 $(LAMBDA_PLATFORMS:%=--platform %)
SITE_AT_RUN_TIME := /opt/python
COMPILER := $(firstword $(foreach python,$(PYTHON) python3.13,$(shell \
	$(python) -c 'import sys; sys.version_info[:2] == (3, 13) and print("$(python)")' 2>/dev/null)))
endif

PIP_INSTALL := $(PYTHON) -m pip --quiet --quiet --disable-pip-version-check install --no-deps --require-hashes \
	--only-binary=:all: --no-compile
SITE := $(ARTIFACTS_DIR)/python
# The stamp is empty and lies in the layer: a copy without it, or for another target, is built anew.
PACKAGES := $(SITE)/.built-for-$(TARGET)

.DELETE_ON_ERROR:
.DEFAULT_GOAL := build-$(LAYER)

# Lambda cannot write to its layers: a module without bytecode would be compiled again at every cold start.
$(PACKAGES): $(HERE)/requirements.txt $(HERE)/Makefile $(HERE)/../build.mk
	@echo "$(LAYER): installing packages for $(TARGET)"
	@rm -rf "$(SITE)"
	@$(PIP_INSTALL) $(WHEELS) --target "$(SITE)" --requirement "$<"
	@echo "$(LAYER): removing what is never imported"
	@cd "$(SITE)" && rm -rf bin *.dist-info $(UNUSED)
	@find "$(SITE)" -type d -name tests -prune -exec rm -rf {} +
	@find "$(SITE)" -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.a' -o -name '*.h' \) -delete
	@$(PRUNE)
ifeq ($(COMPILER),)
	@echo "$(LAYER): no Python 3.13 here to compile with; the layer works, but starts more slowly"
else
	@echo "$(LAYER): compiling"
	@$(COMPILER) -m compileall -q --invalidation-mode unchecked-hash -s "$(SITE)" -p "$(SITE_AT_RUN_TIME)" "$(SITE)"
endif
	@touch "$@"
