// Made by bindgen from cuda/include/args.h; `make args` writes it.
