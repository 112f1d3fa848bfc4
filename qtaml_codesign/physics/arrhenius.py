"""Rates that hang on temperature through an activation energy."""

from __future__ import annotations

from qtaml_codesign.constants import BOLTZMANN_eV_per_K


def log_boltzmann(activation_energy_eV: float, temperature_K: float) -> float:
    """ln exp(-E_a / kT), what is left of a rate without its activation.

    Args:
        activation_energy_eV: E_a >= 0.
        temperature_K: T.

    Source: S. Arrhenius, Z. phys. Chem. 4, 226 (1889).

    Example:
        >>> round(log_boltzmann(0.1, 300.0), 3)
        -3.868
    """
    return -activation_energy_eV / (BOLTZMANN_eV_per_K * temperature_K)


def log_factor(activation_energy_eV: float, temperature_K: float, reference_temperature_K: float) -> float:
    """ln of a rate over the same rate at the reference temperature, -E_a/k (1/T - 1/T_ref).

    Args:
        activation_energy_eV: E_a >= 0.
        temperature_K: T.
        reference_temperature_K: T_ref, where the rate is known.

    Validity: one activated process over the whole range of temperatures; sub-20 nm flash is reported to roll off.
    Source: JEDEC JESD218, retention at one temperature from that at another by E_a = 1.1 eV.

    Example:
        >>> import math
        >>> round(math.exp(log_factor(0.3, 398.0, 300.0)), 1)
        17.4
    """
    return log_boltzmann(activation_energy_eV, temperature_K) - log_boltzmann(
        activation_energy_eV, reference_temperature_K)
