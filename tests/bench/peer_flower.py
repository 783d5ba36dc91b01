#!/usr/bin/env python3
"""peer_flower.py - federation rounds without training in Flower, for bench_federation

usage: peer_flower.py certificates DIR
       peer_flower.py server DIR PORT SITES PARAMETERS ROUNDS
       peer_flower.py client DIR PORT

gRPC with TLS, FedAvg of one float32 vector that every client sends back, no
evaluation.  The server prints "ready", then "round N SECONDS" after each round
(from the end of the one before, or from the first request) and "peak BYTES" at
the end.
"""
import os
import resource
import subprocess
import sys
import time


def certificates(folder):
    """A key and a certificate for localhost that signs itself."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", f"{folder}/server.key", "-out", f"{folder}/server.pem"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def serve(folder, port, sites, parameters, rounds):
    import flwr as fl
    import numpy as np

    class Timed(fl.server.strategy.FedAvg):
        """FedAvg that says how long its rounds take."""
        since = None

        def configure_fit(self, *args, **kwargs):
            if self.since is None:
                self.since = time.perf_counter()
            return super().configure_fit(*args, **kwargs)

        def aggregate_fit(self, server_round, results, failures):
            out = super().aggregate_fit(server_round, results, failures)
            now = time.perf_counter()
            if failures or len(results) != sites:
                print("cannot", len(results), "of", sites, failures[:1], flush=True)
                os._exit(1)
            print("round", server_round, now - self.since, flush=True)
            self.since = now
            return out

    first = fl.common.ndarrays_to_parameters([np.zeros(parameters, np.float32)])
    strategy = Timed(fraction_fit=1.0, fraction_evaluate=0.0, min_fit_clients=sites,
                     min_evaluate_clients=0, min_available_clients=sites,
                     initial_parameters=first)
    pem = read(f"{folder}/server.pem")
    print("ready", fl.__version__, flush=True)
    fl.server.start_server(server_address=f"localhost:{port}", strategy=strategy,
                           config=fl.server.ServerConfig(num_rounds=rounds),
                           certificates=(pem, pem, read(f"{folder}/server.key")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("peak", peak, flush=True)


def play(folder, port):
    import flwr as fl

    class Site(fl.client.NumPyClient):
        """Sends back what it gets."""
        def fit(self, parameters, config):
            return parameters, 100, {}

    fl.client.start_numpy_client(server_address=f"localhost:{port}", client=Site(),
                                 root_certificates=read(f"{folder}/server.pem"))


def main(args):
    if args[0] == "certificates":
        certificates(args[1])
    elif args[0] == "server":
        serve(args[1], int(args[2]), int(args[3]), int(args[4]), int(args[5]))
    else:
        play(args[1], int(args[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
