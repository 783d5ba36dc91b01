"""mean_of.py RESULTS.csv SITE MODEL METRIC [LOW HIGH]: prints the mean over runs; fails when it lies outside."""
import csv
import sys

path, site, model, metric, *limits = sys.argv[1:]
with open(path, newline="") as f:
    values = [float(r["value"]) for r in csv.DictReader(f)
              if (r["site"], r["model"], r["metric"]) == (site, model, metric) and r["value"]]
mean = sum(values) / len(values)
sd = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
print(f"{site} {model} {metric}: {mean:.3f} +-{sd:.3f} over {len(values)} runs")
if limits and not float(limits[0]) <= mean <= float(limits[1]):
    sys.exit(f"expected {limits[0]} to {limits[1]}")
