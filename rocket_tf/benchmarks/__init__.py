"""What training costs, beside what it would cost otherwise: measurements that become ratios."""
