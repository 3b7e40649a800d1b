"""Which models of vehicle there are, and which one a vehicle is: TOML files that a maker adds, matched by VIN.

It is no service: it stands below the services, which share it, and knows none of them, no message and no protocol.

- `model`: what vehicles of a model have and can do, and the model of those that no file is for.
- `file`: one TOML file, read strictly.
- `catalogue`: all files of a folder, and which model a VIN is of.
"""
