"""The cost of training compared with alternatives: measurements that become ratios."""
