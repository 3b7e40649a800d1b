"""`make bench`: what this machine reaches, every figure beside the bare limit measured in the same run.

Everything the product runs is started for real (NATS, all services, Envoy, simulated cars) on free loopback
ports and a data folder of its own, measured from outside, and stopped. Each load is a process of its own
(`bench.load`), made cheap because it shares the cores with what it measures.
"""
