"""One door to vision-language models, and the captioners that go through it.

`captions` is the contract. `client` asks any server that speaks OpenAI's chat completions (`options`, cache,
budget, retries, privacy), or a model in this process (`local_model`); `batch` asks a server in batches; `forecast`
says what asking would cost; `openai_captioner` and `propose` ask; `replay` rebuilds a finished run from its cache;
`motion` looks at no pixels; `scene` stands in for a model in simulated worlds and `learned` sees with a small
network. Import from the modules: this package itself loads nothing, so that a run without a model pays for none.
"""
