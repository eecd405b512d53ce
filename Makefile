# Two commands for a new machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-for-tests
export OMP_NUM_THREADS ?= 2
# Compiled once, not by every process anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow base prove prove-r1 prove-async compare faults soak fuzz mutants coverage coverage-all audit docs package dependencies bench bench-serve bench-growth bench-gpu bench-rewards bench-envs client-envs compare-evaluators lock clean

## Train the tiny base to think, print the table and the path of report.html (about ten minutes);
## after Ctrl-C it goes on where it stopped.
demo: $(STAMP)
	grep -qs '"status": "interrupted"' runs/demo/summary.json || rm -rf runs/demo
	$(BIN)/thinkwright run tiny/r1-zero --out runs/demo $$(test -d runs/demo && echo --resume)

## Style, types and tests. What the tests import is compiled beside the check of types: else every worker would, in a
## fresh clone.
test: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest --collect-only -q > /dev/null & $(BIN)/pyright; code=$$?; wait; exit $$code
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal

## R1 at full size, every stage for two steps on random weights, and other tests of half a minute each (some ten minutes;
## needs the data sets).
test-slow: $(TEST_STAMP)
	$(BIN)/pytest -m slow

## The full proof: three seeds and the random-reward control (about forty minutes).
prove: $(STAMP)
	$(BIN)/python scripts/prove.py

## The full proof of R1: the whole pipeline on two seeds, and what the ablations change (about eighty minutes).
prove-r1: $(STAMP)
	$(BIN)/python scripts/prove_r1.py

## Asynchronous rollouts at several bounds of staleness, trainer and engine on a core each (about half an hour).
prove-async: $(STAMP)
	$(BIN)/python scripts/prove_async.py

## Methods against each other: learning rate tuned alike, five seeds each (hours; finished runs are kept in runs/compare).
compare: $(STAMP)
	$(BIN)/python scripts/compare_algorithms.py
	PYTHON=$(PYTHON) sh bench/make_envs.sh plot
	.venv-bench-plot/bin/python -m bench.plot_methods runs/compare/methods.json docs/methods.svg

## kill -9 at 200 random instants of a pipeline of every kind of stage, a full and a read-only disk at 50 each: nothing
## lost, nothing else (about an hour; the disks need bubblewrap).
faults: $(STAMP)
	$(BIN)/python -m scripts.faults
	$(BIN)/python -m scripts.faults --fault full-disk --times 50
	$(BIN)/python -m scripts.faults --fault read-only-disk --times 50

## A tiny run for two hours while graders and its engine are killed and stopped: nothing grows, every rollout adds up.
soak: $(STAMP)
	$(BIN)/python scripts/soak.py

## Every reader of what comes from elsewhere, fed with bytes that atheris finds, ten minutes each.
fuzz: $(STAMP)
	test -d build/atheris || $(BIN)/pip install --quiet --target build/atheris atheris
	PYTHONPATH=build/atheris:. $(BIN)/python scripts/fuzz.py

# Where a program sees no process but its own, for a fault in what ends processes may end all there are. Programs' own
# sandboxes are known by the number 2, so that is used up first.
ALONE = unshare $(if $(filter 0,$(shell id -u)),,--user --map-current-user) --pid --fork --mount-proc --kill-child \
	sh -c ': | : | : && exec "$$@"' sh

## Small faults in algorithms, estimators and rewards, one at a time: the share that the tests find, and the rest (hours;
## `make mutants AREAS=algorithms` some minutes).
mutants: .venv-mutants/.installed
	PYTHONPATH=$(CURDIR) OMP_NUM_THREADS=1 $(if $(filter-out algorithms estimators rewards,$(or $(AREAS),all)),$(ALONE)) \
		.venv-mutants/bin/python scripts/mutants.py $(AREAS)

## Which branches of algorithms and rewards no test takes (some minutes).
coverage: .venv-mutants/.installed
	rm -rf build/coverage
	for kind in "not slow" slow; do \
		PYTHONPATH=$(CURDIR) OMP_NUM_THREADS=1 THINKWRIGHT_TRACED=build/coverage/traced \
			.venv-mutants/bin/coverage run -m pytest tests/algorithms tests/rewards -m "$$kind" || exit 1; \
	done
	.venv-mutants/bin/coverage combine --quiet
	.venv-mutants/bin/coverage report
	$(BIN)/python -m tests.rewards.traced_scripts build/coverage/traced

## The share of all lines and branches that the tests run, in processes they start too, and the others by file.
coverage-all: .venv-mutants/.installed
	rm -rf build/coverage
	PYTHONPATH=$(CURDIR) OMP_NUM_THREADS=1 .venv-mutants/bin/coverage run --source=thinkwright \
		-m pytest -n 3 --dist worksteal
	.venv-mutants/bin/coverage combine --quiet
	.venv-mutants/bin/coverage report

.venv-mutants/.installed: $(TEST_STAMP)
	$(PYTHON) -m venv .venv-mutants
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > \
		$$(.venv-mutants/bin/python -c 'import site; print(site.getsitepackages()[0])')/tests.pth
	.venv-mutants/bin/pip install --quiet --disable-pip-version-check mutmut==3.8.1 coverage==7.17.5
	touch .venv-mutants/.installed

## The documents as a site, build/site/index.html; a link that leads nowhere fails.
docs:
	cmp -s docs/requirements.txt .venv-docs/.installed || { $(PYTHON) -m venv .venv-docs \
		&& .venv-docs/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement docs/requirements.txt \
		&& cp docs/requirements.txt .venv-docs/.installed; }
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --clean

## The wheel in empty environments of these Pythons: it runs, and names the extras that are not there (some minutes each).
PYTHONS ?= $(PYTHON)
package: $(STAMP)
	$(BIN)/python scripts/check_package.py --pythons $(PYTHONS)

## The tests with the lowest versions that pyproject.toml allows, and with the newest (VERSIONS=newest).
VERSIONS ?= lowest
dependencies: $(STAMP)
	$(BIN)/python scripts/check_dependencies.py --versions $(VERSIONS) --pythons $(PYTHONS)

## Known holes in the packages of both locks, by PyPI's list (needs the network; a package that it cannot look up fails).
audit:
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit; }
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements.lock -r requirements-test.lock

## Speed and memory against TRL, transformers and vLLM, on an otherwise idle machine (about half an hour).
bench: $(STAMP) bench-envs
	$(BIN)/python -m bench.compare

## How cost grows with group size, lengths, vocabulary and model (about twenty minutes), and its plot.
bench-growth: $(STAMP) bench-envs
	$(BIN)/python -m bench.growth
	.venv-bench-plot/bin/python -m bench.plot_growth build/bench/growth.json docs/growth.svg

## 64 clients against our server, llama.cpp's and vLLM's, on an otherwise idle machine (about twenty minutes).
bench-serve: $(STAMP) bench-envs
	$(BIN)/python -m bench.serve

## Decode and update on a CUDA GPU; on a CPU the same with tiny shapes.
bench-gpu: $(STAMP)
	$(BIN)/python -m bench.gpu

## Verdicts a second of the graders, with and without poison (a few minutes).
bench-rewards: $(TEST_STAMP)
	$(BIN)/python -m bench.rewards

## Environments of the peers, for `make bench`.
bench-envs:
	PYTHON=$(PYTHON) sh bench/make_envs.sh

## lm-evaluation-harness and inspect-ai, in an environment of their own.
client-envs:
	PYTHON=$(PYTHON) sh bench/make_envs.sh clients

## The same suite by our evaluator and by those two, against `thinkwright serve`: equal marks (some minutes).
compare-evaluators: $(STAMP) client-envs
	$(BIN)/python scripts/compare_evaluators.py $(MODEL)

## Make the shipped base model again (about an hour); the result is runs/tiny/base-seed1/model.
base: $(STAMP)
	$(BIN)/thinkwright run tiny/base-pieces
	$(BIN)/thinkwright run tiny/base

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

$(TEST_STAMP): $(STAMP) requirements-test.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-test.lock
	touch $(TEST_STAMP)

## Write requirements.lock and requirements-test.lock from what is installed.
lock:
	$(BIN)/python scripts/write_lock.py

clean:
	rm -rf $(VENV) build *.egg-info
