# make demo, make test and make check each do everything from a clean clone; Python 3.11 or newer is all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test test-all check bench docs notebooks pictures clean

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(BIN)/degrade synth "phantom:fundus?count=4&size=512" $(DEMO)/pairs --views 4
	for recipe in cofe-net cofe-net-paper pce-net cataract; do \
		$(BIN)/degrade preview "phantom:fundus?count=2&size=512" $(DEMO)/$$recipe.png --recipe $$recipe; \
	done
	$(BIN)/degrade preview "phantom:chest?count=2&size=512" $(DEMO)/x-bdcnn.png --recipe x-bdcnn
	$(BIN)/degrade preview "phantom:cornea?count=2&size=384" $(DEMO)/cornea.png --recipe cornea
	OMP_NUM_THREADS=1 $(BIN)/enhance train xbdcnn "phantom:chest?count=24&size=256" --out $(DEMO)/denoiser --steps 240 \
		--set width=16 --set level_width=16 --set crop=32 --set batch_size=8 --validate-every 120 --workers 1 --cache 1
	OMP_NUM_THREADS=1 $(BIN)/enhance evaluate $(DEMO)/denoiser pretrained:xbdcnn-small gaussian \
		"phantom:chest?count=24&size=256" --recipe x-bdcnn --held-out $(DEMO)/denoiser --sheet $(DEMO)/denoised.png
	@echo
	@echo "Pictures to open:"
	@ls $(DEMO)/*.png
	@echo "The paired data set, every picture explained in manifest.jsonl: $(DEMO)/pairs"

test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow"

test-all: $(VENV)/all
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,bench,dev]"
	touch $@

clean:
	rm -rf $(VENV) $(DEMO)

# the site, strictly, into build/site; nothing is fetched but the packages of the extra
docs: $(VENV)/docs
	$(BIN)/python docs/make_site.py
	@echo "Open build/site/index.html"

# what the notebooks show, after a change of them or of the code
notebooks: $(VENV)/notebooks
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_notebooks.py

$(VENV)/docs $(VENV)/notebooks: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(notdir $@)]"
	touch $@

# all that any test needs, installed at once
$(VENV)/all: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e ".[test,bench,dev,docs,notebooks,adapters]"
	touch $(VENV)/installed $(VENV)/docs $(VENV)/notebooks $@

pictures: $(VENV)/installed
	$(BIN)/python docs/make_retina.py
	$(BIN)/degrade check x-bdcnn --plot docs/pictures/x-bdcnn-check.png
	$(BIN)/python docs/make_gallery.py
