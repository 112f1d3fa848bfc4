"""L6: Tunneling-Aware Compensation: which bits to protect, which layers to correct, and what that predicts."""
