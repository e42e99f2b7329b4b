"""mimverify's own claims as a pack: for tests of settings, which name claims that are there."""

from mimverify.trial import Pack, load_claims

PACK = Pack(title="The same claims", source="mimverify", version="1", budget=1e-5)
globals().update({f"claim_{place}": one for place, one in enumerate(load_claims().values())})
