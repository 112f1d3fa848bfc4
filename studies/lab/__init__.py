"""What every study shares: trained networks, cases that survive interruption, intervals, claims, figures, tables."""
