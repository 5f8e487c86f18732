# make demo    draw the faces, train, write the graph, unlearn: the whole system in a few minutes on two cores
# make test    what continuous integration runs
# make help    every target
#
# With an environment of your own (conda, a container): make demo PYTHON=python

PYTHON = .venv/bin/python
SEED = 0
# processes of `make test`, each of one thread and at most 1.5 GB
WORKERS = 2

# flags of the demo: forget Bald, keep Mouth_Slightly_Open (the task of Setting I), short training on the drawn faces
DEMO_FACES = --num_images 6000 --seed 0 --rate Bald=0.1
DEMO_TRAIN = --force --epoch 5 --scheduler onecycle --lr 2e-3 --rotation 10 --img_size 64
DEMO_GRAPH = --no_balance --proportion 0.25
DEMO_SHARED = --setting I --data_path $(FACES) --seed $(SEED)

FACES = data/synthetic_celeba
SCRIPT = unlearning_multi_celeba_resnet18
# what the project consists of: files of your own beside it are nobody else's business
CODE = $(SCRIPT)_*.py benchmarks data models results tests tools utils
# an environment named on the command line is taken as it is
INSTALLED = $(if $(filter .venv/bin/python,$(PYTHON)),.venv/.installed)

.DEFAULT_GOAL := help
.PHONY: help .venv demo notebook smoke test lint coverage clean

help: ## show this list
	@awk -F ':.*## ' '/^[.a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

.venv: .venv/.installed ## make the environment and install what is needed

.venv/.installed: requirements.txt requirements-dev.txt
	python3 -m venv .venv
	.venv/bin/python -m pip install -r requirements-dev.txt
	@touch $@

demo: $(INSTALLED) ## the whole system on drawn faces: train, score, prune, erase, audit (seed: make demo SEED=1)
	$(PYTHON) data/make_synthetic_celeba.py --out $(FACES) $(DEMO_FACES)
	$(PYTHON) $(SCRIPT)_original.py $(DEMO_SHARED) $(DEMO_TRAIN)
	$(PYTHON) $(SCRIPT)_original.py $(DEMO_SHARED) $(DEMO_TRAIN) --leave_out Bald
	$(PYTHON) $(SCRIPT)_generate_graph.py $(DEMO_SHARED) $(DEMO_GRAPH)
	$(PYTHON) $(SCRIPT)_unlearning.py $(DEMO_SHARED) --audit quick
	$(PYTHON) $(SCRIPT)_unlearning.py $(DEMO_SHARED) --audit quick --method erase
	$(PYTHON) -m tools.compare results/Bald_Mouth_Slightly_Open/Bald

notebook: $(INSTALLED) ## run examples/forget_an_attribute.ipynb (shorter: NOTEBOOK_FACES=300 NOTEBOOK_EPOCHS=1)
	$(PYTHON) -c "from nbclient.cli import main; main()" examples/forget_an_attribute.ipynb

smoke: $(INSTALLED) ## the three steps on 64 faces in seconds; on your own folder: make smoke CELEBA=DIR
	CELEBA=$(CELEBA) $(PYTHON) -m pytest -q tests/test_smoke.py

lint: $(INSTALLED) ## ruff: rules and format
	$(PYTHON) -m ruff check $(CODE)
	$(PYTHON) -m ruff format --check $(CODE)

test: lint ## lint, then every test
	$(PYTHON) -m pytest -n $(WORKERS) --dist worksteal

coverage: $(INSTALLED) ## the tests again, with the lines that none of them reaches
	$(PYTHON) -m pytest -n $(WORKERS) --dist worksteal --cov

clean: ## remove what tools leave behind; data, checkpoints and results stay
	rm -rf .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
