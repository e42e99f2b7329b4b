"""Data that somebody has: does what the theorem is about show in them?"""

from mimverify.given_data.result import Diagnosis
from mimverify.given_data.run import diagnose, diagnose_files
from mimverify.given_data.spectrum_test import SpectrumTest

__all__ = ["Diagnosis", "SpectrumTest", "diagnose", "diagnose_files"]
